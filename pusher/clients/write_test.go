package clients

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const daemonJSON = "/etc/docker/daemon.json"

// configure plans and writes.
func configure(t *testing.T, root, request string) ([]Backup, error) {
	t.Helper()
	plan := planFor(t, root, request)
	return plan.Write(writeTime)
}

func planFor(t *testing.T, root, request string) *Plan {
	t.Helper()
	names, opt := golden{request: request}.options(t, root)
	plan, err := New(names, opt)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func mode(t *testing.T, name string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func TestAPasswordIsForTheOwnerOnly(t *testing.T) {
	root := t.TempDir()
	lay(t, root, "etc/rancher/k3s/registries.yaml", "mirrors:\n")
	if _, err := configure(t, root, "k3s containerd --registry h.example:1 --user bob --password hush"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{
		"etc/rancher/k3s/registries.yaml":                              0o600,
		"etc/rancher/k3s/registries.yaml.riscv-build-20261105T060708~": 0o644,
		"etc/containerd/certs.d/h.example:1/hosts.toml":                0o600,
		"etc/containerd/config.toml":                                   0o644,
	} {
		if got := mode(t, filepath.Join(root, name)); got != want {
			t.Errorf("%q has mode %o, want %o", name, got, want)
		}
	}
	// The same content with a looser mode is put right.
	if err := os.Chmod(filepath.Join(root, "etc/rancher/k3s/registries.yaml"), 0o664); err != nil {
		t.Fatal(err)
	}
	done, err := configure(t, root, "k3s --registry h.example:1 --user bob --password hush")
	if err != nil || len(done) != 1 || mode(t, filepath.Join(root, done[0].Path)) != 0o600 {
		t.Errorf("%v, %v", done, err)
	}
}

func TestModeAndOwnerAreKept(t *testing.T) {
	root := t.TempDir()
	lay(t, root, daemonJSON, "{}")
	name := filepath.Join(root, daemonJSON)
	if err := os.Chmod(name, 0o640); err != nil {
		t.Fatal(err)
	}
	owner := os.Getuid()
	if owner == 0 {
		owner = 1234
		if err := os.Chown(name, owner, owner); err != nil {
			t.Fatal(err)
		}
	}
	done, err := configure(t, root, "docker --registry h:1")
	if err != nil || len(done) != 1 {
		t.Fatal(done, err)
	}
	for _, file := range []string{done[0].Path, done[0].Backup} {
		info, err := os.Stat(filepath.Join(root, file))
		if err != nil || info.Mode().Perm() != 0o640 || int(info.Sys().(*syscall.Stat_t).Uid) != owner {
			t.Errorf("%q: %v, %v", file, info, err)
		}
	}
}

func TestTwoChangesInOneSecondHaveTwoBackups(t *testing.T) {
	root := t.TempDir()
	lay(t, root, daemonJSON, "{}")
	var backups []string
	for _, registry := range []string{"a:1", "b:1", "c:1"} {
		done, err := configure(t, root, "docker --registry "+registry)
		if err != nil || len(done) != 1 {
			t.Fatal(done, err)
		}
		backups = append(backups, done[0].Backup)
	}
	stamp := daemonJSON + ".riscv-build-20261105T060708"
	if want := []string{stamp + "~", stamp + ".2~", stamp + ".3~"}; !slices.Equal(backups, want) {
		t.Errorf("got %q", backups)
	}
	files, err := os.ReadDir(filepath.Join(root, "etc/docker"))
	if err != nil || len(files) != 4 {
		t.Errorf("something else was left behind: %v, %v", files, err)
	}
}

// Links are followed as the configured machine would, whose root is the root
// directory; none leads out of it.
func TestLinksStayBelowTheRoot(t *testing.T) {
	for name, c := range map[string]struct{ link, to, lands string }{
		"file, absolute":         {daemonJSON, "/data/daemon.json", "data/daemon.json"},
		"file, relative":         {daemonJSON, "../../data/daemon.json", "data/daemon.json"},
		"file, out of the root":  {daemonJSON, "../../../../../../../../../outside.json", "outside.json"},
		"file, dangling":         {daemonJSON, "/new/daemon.json", "new/daemon.json"},
		"directory, absolute":    {"/etc/docker", "/data", "data/daemon.json"},
		"directory, out of root": {"/etc/docker", "../../../../../../../../tmp/x", "tmp/x/daemon.json"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			if !strings.Contains(name, "dangling") {
				lay(t, root, c.lands, `{"debug": true}`)
			}
			link := filepath.Join(root, c.link)
			if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(c.to, link); err != nil {
				t.Fatal(err)
			}
			if _, err := configure(t, root, "docker --registry h:1"); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(filepath.Join(root, c.lands))
			if err != nil || !strings.Contains(string(text), `"h:1"`) {
				t.Errorf("%v: %s", err, text)
			}
			if target, err := os.Readlink(link); err != nil || target != c.to {
				t.Errorf("the link is gone: %q, %v", target, err)
			}
		})
	}
}

func TestFilesThatAreNone(t *testing.T) {
	for name, lay := range map[string]func(path string) error{
		"directory": func(path string) error { return os.Mkdir(path, 0o755) },
		"pipe":      func(path string) error { return syscall.Mkfifo(path, 0o644) },
		"loop":      func(path string) error { return os.Symlink("daemon.json", path) },
		"huge":      func(path string) error { return os.WriteFile(path, make([]byte, maxFile+1), 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			if err := os.MkdirAll(filepath.Join(root, "etc/docker"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := lay(filepath.Join(root, daemonJSON)); err != nil {
				t.Fatal(err)
			}
			names, opt := golden{request: "docker --registry h:1"}.options(t, root)
			_, err := New(names, opt)
			var access *AccessError
			if !errors.As(err, &access) || access.Path != daemonJSON {
				t.Errorf("got %T %v", err, err)
			}
		})
	}
}

func TestAWriteThatFailsNamesWhatWasWritten(t *testing.T) {
	root := t.TempDir()
	plan := planFor(t, root, "docker podman --registry h:1")
	lay(t, root, "etc/containers", "a file where a directory must be")
	_, err := plan.Write(writeTime)
	var access *AccessError
	if !errors.As(err, &access) || !slices.Equal(access.Done, []string{daemonJSON}) || !strings.Contains(err.Error(), "already written") {
		t.Errorf("got %v", err)
	}
}

func TestAFileThatChangedMeanwhileIsLeftAlone(t *testing.T) {
	root := t.TempDir()
	lay(t, root, daemonJSON, "{}")
	plan := planFor(t, root, "docker --registry h:1")
	lay(t, root, daemonJSON, `{"debug": true}`)
	done, err := plan.Write(time.Now())
	text, readErr := os.ReadFile(filepath.Join(root, daemonJSON))
	if err == nil || len(done) != 0 || readErr != nil || string(text) != `{"debug": true}` {
		t.Errorf("%v, %v, %s", done, err, text)
	}
}

func TestTheCAIsUsedWhereItIsInEtcOnly(t *testing.T) {
	ca, err := os.ReadFile("testdata/ca.pem")
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]string{
		"etc/ssl/my-ca.pem": "/etc/ssl/my-ca.pem",
		"tmp/my-ca.pem":     "/etc/rancher/k3s/certs/h_1-ca.crt",
	} {
		root := t.TempDir()
		lay(t, root, at, string(ca))
		plan, err := New([]string{"k3s"}, Options{Registry: "h:1", CAFile: filepath.Join(root, at), Root: root, OS: "linux"})
		if err != nil {
			t.Fatal(err)
		}
		text := string(plan.Files[len(plan.Files)-1].New)
		if !strings.Contains(text, "ca_file: "+want+"\n") {
			t.Errorf("%q: %s", at, text)
		}
	}
}

func TestAPrivateKeyIsNotCopiedAbout(t *testing.T) {
	ca, err := os.ReadFile("testdata/ca.pem")
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	lay(t, root, "both.pem", string(ca)+"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
	_, err = New([]string{"docker"}, Options{Registry: "h:1", CAFile: filepath.Join(root, "both.pem"), Root: root, OS: "linux"})
	var request *RequestError
	if !errors.As(err, &request) || !strings.Contains(err.Error(), "private key") {
		t.Errorf("got %v", err)
	}
}

func TestPasswordsAreNotShown(t *testing.T) {
	root := t.TempDir()
	lay(t, root, "etc/rancher/k3s/registries.yaml", "configs:\n  o.example:\n    auth: {username: me, password: tell}\n  h:1:\n    auth:\n      \"password\": 'tell'\n      token: tell # tell\n")
	plan := planFor(t, root, "k3s containerd --registry https://h:1 --user bob --password hush")
	shown := ""
	for _, f := range plan.Files {
		shown += f.Shown() + f.Diff()
	}
	for _, secret := range []string{"hush", "tell", "Ym9iOmh1c2g="} {
		if strings.Contains(shown, secret) {
			t.Errorf("%q is shown:\n%s", secret, shown)
		}
	}
	if !strings.Contains(shown, "username: bob") || !strings.Contains(shown, "password\": ********") {
		t.Errorf("too much is hidden:\n%s", shown)
	}
	if _, err := plan.Write(writeTime); err != nil {
		t.Fatal(err)
	}
	again := planFor(t, root, "k3s --registry https://h:1 --user bob --password other")
	if diff := again.Files[0].Diff(); !strings.Contains(diff, "another password") {
		t.Errorf("got %q", diff)
	}
}

// A file that ends without a line break: the formats' goldens cannot have one.
func TestTheLastLineMayBeUnfinished(t *testing.T) {
	for file, c := range map[string]struct{ request, text, want string }{
		"etc/containerd/certs.d/h:1/hosts.toml": {"nerdctl --registry h:1 --ca ca.pem", `server = "x"`, "server = \"https://h:1\"\nca = \"ca.crt\"\n"},
		"etc/buildkit/buildkitd.toml":           {"buildkit --registry h:1", "debug = true\n[registry.\"h:1\"]", "debug = true\n[registry.\"h:1\"]\n  http = true\n"},
		"etc/rancher/k3s/registries.yaml":       {"k3s --registry h:1", "mirrors:", "mirrors:\n  h:1:\n    endpoint:\n"},
		"etc/docker/daemon.json":                {"docker --registry h:1", "{}", "{\n  \"insecure-registries\": [\"h:1\"]\n}"},
	} {
		root := t.TempDir()
		lay(t, root, file, c.text)
		if _, err := configure(t, root, c.request); err != nil {
			t.Error(err)
		}
		if text, err := os.ReadFile(filepath.Join(root, file)); err != nil || !strings.HasPrefix(string(text), c.want) {
			t.Errorf("%q: %v:\n%s", file, err, text)
		}
	}
}
