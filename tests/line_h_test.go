package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestLineH: the images in the hands of docker, podman, containerd and skopeo.
func TestLineH(t *testing.T) {
	reg := registry(t)
	s := warm(t)
	// All three, in the reduced run too: what is checked is what they do.
	rep, _ := s.build("nginx", "redis", "busybox", "--push", reg)
	refs := map[string]string{}
	for _, x := range rep.Results {
		refs[x.Name] = x.Tags[0]
		out, err := sh(need(t, "skopeo", "skopeo"), "inspect", "--tls-verify=false", "--override-arch", "riscv64", "docker://"+x.Tags[0])
		figure(t, "H", "skopeo sees "+x.Name+" with its digest", "the digest", err == nil && strings.Contains(out, x.Digest), false)
	}
	for _, startClient := range []func(*testing.T) client{startDocker, startPodman, startContainerd} {
		c := startClient(t)
		t.Run(filepath.Base(c.name()), func(t *testing.T) {
			for name, ref := range refs {
				if err := c.pull(ref); err != nil {
					t.Fatal(err)
				}
				arch, err := c.architecture(ref)
				if err != nil || arch != "riscv64" {
					t.Errorf("%s: architecture %q, %v", name, arch, err)
				}
			}
			checkNginx(t, c, refs["nginx"])
			checkRedis(t, c, refs["redis"])
			out, err := c.once(refs["busybox"], "sh", "-c", "uname -m; echo $((6*7))")
			if err != nil || out != "riscv64\n42" {
				t.Errorf("busybox said %q, %v", out, err)
			}
			figure(t, "H", filepath.Base(c.name())+" pulls and runs nginx, redis, busybox", "serves, mounts, templates; keeps data, password; sh -c", !t.Failed(), false)
		})
	}
}

// inside runs a shell script in the network namespace of a container.
func inside(pid int, script string) (string, error) {
	return sh("nsenter", "-t", fmt.Sprint(pid), "-n", "bash", "-c", script)
}

// eventually asks until the answer contains what is wanted.
func eventually(t *testing.T, pid int, script, want string) {
	t.Helper()
	var out string
	var err error
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if out, err = inside(pid, script); err == nil && strings.Contains(out, want) {
			return
		}
	}
	t.Errorf("wanted %q, got %q, %v", want, out, err)
}

func checkNginx(t *testing.T, c client, ref string) {
	t.Helper()
	need(t, "curl", "curl")
	dir := t.TempDir()
	os.MkdirAll(filepath.Join(dir, "templates"), 0o755)
	write(t, filepath.Join(dir, "extra.conf"), "server { listen 8081; return 200 'from conf.d'; }\n")
	write(t, filepath.Join(dir, "templates", "vhost.conf.template"), "server { listen ${PORT}; return 200 'from a template'; }\n")
	k := container{name: "web", ref: ref, env: []string{"PORT=8082"}, mounts: [][2]string{
		{filepath.Join(dir, "extra.conf"), "/etc/nginx/conf.d/extra.conf"}, {filepath.Join(dir, "templates"), "/etc/nginx/templates"}}}
	pid, err := c.up(k)
	if err != nil {
		t.Error(err)
		return
	}
	eventually(t, pid, "curl -sS http://127.0.0.1/", "Welcome to nginx!")
	eventually(t, pid, "curl -sS http://127.0.0.1:8081/", "from conf.d")
	eventually(t, pid, "curl -sS http://127.0.0.1:8082/", "from a template")
	if err := c.down(k.name); err != nil {
		t.Error(err)
	}
}

const talk = `exec 3<>/dev/tcp/127.0.0.1/6379; printf '%s\r\n' >&3; timeout 1 cat <&3 || true`

func checkRedis(t *testing.T, c client, ref string) {
	t.Helper()
	data := t.TempDir()
	os.Chmod(data, 0o777)
	steps := []struct {
		args      []string
		say, want string
	}{
		{nil, `SET kept value\r\nSAVE`, "+OK"},
		{nil, "GET kept", "value"},
		{[]string{"--requirepass", "secret"}, "GET kept", "NOAUTH"},
		{[]string{"redis-server", "--requirepass", "secret"}, `AUTH secret\r\nGET kept`, "value"},
	}
	for i, step := range steps {
		k := container{name: fmt.Sprintf("redis%d", i), ref: ref, mounts: [][2]string{{data, "/data"}}, args: step.args}
		pid, err := c.up(k)
		if err != nil {
			t.Error(err)
			return
		}
		eventually(t, pid, strings.Replace(talk, "%s", step.say, 1), step.want)
		if err := c.down(k.name); err != nil {
			t.Error(err)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
