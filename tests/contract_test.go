package tests

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/builder/check"
	"github.com/riscv-build/riscv-build/pusher"
)

// contract is what an official image promises, as far as ours holds it; what
// it does not is in recipes/catalog/NAME.md. Behaviour is in the [[test]]s of
// the recipes, which the build has run.
type contract struct {
	config ocispec.ImageConfig // Env holds names only, PATH included
	layers int                 // 0: any number
	// files are "MODE UID:GID PATH", a link "PATH -> TARGET", "PATH = PATH" the
	// same file under two names, "!PATH" nothing there.
	files []string
	text  map[string]string // a file and what it has
}

var contracts = map[string]contract{
	"pause": {
		config: ocispec.ImageConfig{Entrypoint: []string{"/pause"}, User: "65535:65535", Env: []string{"PATH"}},
		layers: 1,
		files:  []string{"755 0:0 /pause"},
	},
	"nginx": {
		config: ocispec.ImageConfig{
			Entrypoint: []string{"/docker-entrypoint.sh"}, Cmd: []string{"nginx", "-g", "daemon off;"},
			ExposedPorts: map[string]struct{}{"80/tcp": {}}, StopSignal: "SIGQUIT",
			Env: []string{"DYNPKG_RELEASE", "NGINX_VERSION", "PATH", "PKG_RELEASE"},
		},
		files: []string{
			"755 0:0 /docker-entrypoint.sh", "755 0:0 /docker-entrypoint.d/10-listen-on-ipv6-by-default.sh",
			"755 0:0 /docker-entrypoint.d/15-local-resolvers.envsh", "755 0:0 /docker-entrypoint.d/20-envsubst-on-templates.sh",
			"755 0:0 /docker-entrypoint.d/30-tune-worker-processes.sh",
			"/var/log/nginx/access.log -> /dev/stdout", "/var/log/nginx/error.log -> /dev/stderr",
			"755 0:0 /usr/sbin/nginx", "644 0:0 /usr/share/nginx/html/index.html", "644 0:0 /usr/share/nginx/html/50x.html",
			"755 0:0 /usr/lib/nginx/modules", "755 0:0 /usr/bin/envsubst", "755 0:0 /usr/bin/find", "755 0:0 /usr/bin/curl", "755 0:0 /usr/bin/getconf",
		},
		text: map[string]string{
			"/etc/nginx/nginx.conf": "include /etc/nginx/conf.d/*.conf;", "/etc/nginx/conf.d/default.conf": "    listen       80;\n",
			"/usr/share/nginx/html/index.html": "Welcome to nginx!", "/etc/os-release": "\nID=debian\n",
			"/etc/passwd": "\nnginx:x:101:101:nginx user:/nonexistent:/bin/false\n", "/etc/group": "\nnginx:x:101:\n",
		},
	},
	"redis": {
		config: ocispec.ImageConfig{
			Entrypoint: []string{"docker-entrypoint.sh"}, Cmd: []string{"redis-server"}, WorkingDir: "/data",
			ExposedPorts: map[string]struct{}{"6379/tcp": {}}, Env: []string{"PATH", "REDIS_VERSION"},
		},
		files: []string{
			"755 0:0 /usr/local/bin/docker-entrypoint.sh", "755 999:999 /data", "755 0:0 /usr/local/bin/redis-server", "755 0:0 /usr/local/bin/redis-cli",
			"755 0:0 /usr/local/bin/redis-benchmark", "/usr/local/bin/redis-sentinel -> redis-server", "/usr/local/bin/redis-check-aof -> redis-server",
			"/usr/local/bin/redis-check-rdb -> redis-server", "755 0:0 /usr/bin/setpriv", "755 0:0 /usr/bin/bash",
			"644 0:0 /usr/share/zoneinfo/Asia/Shanghai", "!/usr/local/lib/redis/modules",
		},
		text: map[string]string{"/etc/passwd": "\nredis:x:999:999:", "/etc/group": "\nredis:x:999:\n"},
	},
	"busybox": {
		config: ocispec.ImageConfig{Cmd: []string{"sh"}, Env: []string{"PATH"}},
		layers: 1,
		files: []string{
			"755 0:0 /bin/busybox", "/bin/sh = /bin/busybox", "/bin/nslookup = /bin/busybox", "755 0:0 /bin/getconf", "/usr/bin/env -> ../../bin/env",
			"755 0:0 /dev", "600 0:0 /etc/shadow", "644 0:0 /etc/localtime", "755 0:0 /etc/network/if-up.d", "755 0:0 /etc/network/if-down.d",
			"755 0:0 /etc/network/if-pre-up.d", "755 0:0 /etc/network/if-post-down.d", "755 65534:65534 /home", "700 0:0 /root", "1777 0:0 /tmp",
			"755 1:1 /usr/sbin", "755 8:8 /var/spool/mail", "755 0:0 /var/www", "755 0:0 /lib/ld-linux-riscv64-lp64d.so.1", "755 0:0 /lib/libc.so.6",
			"644 0:0 /lib/libm.so.6", "644 0:0 /lib/libresolv.so.2", "644 0:0 /lib/libpthread.so.0", "644 0:0 /lib/libnss_files.so.2",
			"/lib64 -> lib", "644 0:0 /etc/nsswitch.conf",
		},
		text: map[string]string{"/etc/passwd": "nobody:x:65534:65534:", "/etc/shadow": "root:*:"},
	},
}

// TestContracts holds the images against what the official ones promise.
func TestContracts(t *testing.T) {
	s := warm(t)
	for name, want := range contracts {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "layout")
			s.ok("build", name, "--output", dir, "--progress", "plain")
			layout, err := pusher.OpenLayout(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer layout.Close()
			img, err := check.Load(context.Background(), layout.Provider, layout.Desc, nil)
			if err != nil {
				t.Fatal(err)
			}
			if p := img.Config.Platform; p.OS != "linux" || p.Architecture != "riscv64" {
				t.Errorf("platform %s/%s", p.OS, p.Architecture)
			}
			compareConfig(t, img.Config.Config, want.config)
			if n := len(img.Manifest.Layers); want.layers > 0 && n != want.layers {
				t.Errorf("%d layers, want %d", n, want.layers)
			}
			for _, f := range want.files {
				if got := lookup(img.Tree, f); got != f {
					t.Errorf("wanted %q, got %q", f, got)
				}
			}
			for path, text := range want.text {
				data, err := img.ReadFile(context.Background(), path, 1<<20)
				if err != nil || !strings.Contains(string(data), text) {
					t.Errorf("%s has no %q (%v)", path, text, err)
				}
			}
			figure(t, "contract", fmt.Sprintf("%s: %d files, %d texts and the configuration", name, len(want.files), len(want.text)), "line by line", !t.Failed(), false)
		})
	}
}

func compareConfig(t *testing.T, got, want ocispec.ImageConfig) {
	t.Helper()
	var env []string
	for _, e := range got.Env {
		name, _, _ := strings.Cut(e, "=")
		env = append(env, name)
	}
	slices.Sort(env)
	if !slices.Equal(env, want.Env) {
		t.Errorf("environment %v, want %v", env, want.Env)
	}
	if !slices.Equal(got.Entrypoint, want.Entrypoint) || !slices.Equal(got.Cmd, want.Cmd) {
		t.Errorf("entrypoint %v and command %v, want %v and %v", got.Entrypoint, got.Cmd, want.Entrypoint, want.Cmd)
	}
	if !maps.Equal(got.ExposedPorts, want.ExposedPorts) || got.StopSignal != want.StopSignal || got.WorkingDir != want.WorkingDir {
		t.Errorf("ports %v, stop signal %q, working directory %q", got.ExposedPorts, got.StopSignal, got.WorkingDir)
	}
	if got.User != want.User || len(got.Volumes) > 0 || len(got.Labels) > 0 {
		t.Errorf("user %q, want %q; volumes %v, labels %v, want none", got.User, want.User, got.Volumes, got.Labels)
	}
}

// lookup says what the image has at the path of a contract's line, in the line's form.
func lookup(tree *check.Tree, line string) string {
	f := strings.Fields(line)
	path := f[len(f)-1]
	switch {
	case strings.HasPrefix(line, "!"):
		if _, ok := tree.Lstat(line[1:]); !ok {
			return line
		}
		return line[1:] + " is there"
	case len(f) == 3 && f[1] == "->":
		file, ok := tree.Lstat(f[0])
		if !ok {
			return "nothing"
		}
		return f[0] + " -> " + file.Link
	case len(f) == 3 && f[1] == "=":
		a, ok1 := tree.Stat(f[0])
		b, ok2 := tree.Stat(path)
		if ok1 && ok2 && a == b {
			return line
		}
		return "two files"
	}
	file, ok := tree.Stat(path)
	if !ok {
		return "nothing"
	}
	return fmt.Sprintf("%o %d:%d %s", file.Mode, file.UID, file.GID, path)
}
