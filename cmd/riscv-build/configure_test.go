package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/riscv-build/riscv-build/pusher/clients"
)

// onStdin gives the program a standard input.
func onStdin(t *testing.T, text string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "stdin")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	before := os.Stdin
	os.Stdin = f
	t.Cleanup(func() { os.Stdin = before; f.Close() })
}

func TestConfigurePrintsAndWrites(t *testing.T) {
	root := t.TempDir()
	request := []string{"configure", "docker", "k3s", "--registry", "192.168.1.5:6000", "--root", root}
	code, stdout, stderr := do(t, request...)
	if code != 0 || !strings.Contains(stdout, "==> /etc/docker/daemon.json (mode 0644)\n{\n") ||
		!strings.Contains(stdout, "    endpoint:\n      - http://192.168.1.5:6000\n") ||
		!strings.Contains(stderr, "nothing was written (--write)") || !strings.Contains(stderr, "systemctl restart docker\n") {
		t.Errorf("exit %d\n%s\n%s", code, stdout, stderr)
	}
	if files, err := os.ReadDir(root); err != nil || len(files) > 0 {
		t.Errorf("it wrote %v, %v", files, err)
	}
	code, stdout, _ = do(t, append(request, "--write")...)
	if code != 0 || stdout != "wrote /etc/docker/daemon.json\nwrote /etc/rancher/k3s/registries.yaml\n" {
		t.Errorf("exit %d\n%s", code, stdout)
	}
	code, stdout, stderr = do(t, append(request, "--write")...)
	if code != 0 || stdout != "unchanged /etc/docker/daemon.json\nunchanged /etc/rancher/k3s/registries.yaml\n" || strings.Contains(stderr, "restart") {
		t.Errorf("exit %d\n%s\n%s", code, stdout, stderr)
	}
	code, stdout, stderr = do(t, "configure", "docker", "--registry", "h:1", "--root", root, "--write")
	if code != 0 || !strings.Contains(stdout, "what was there: /etc/docker/daemon.json.riscv-build-") ||
		!strings.Contains(stderr, "-  \"insecure-registries\": [\"192.168.1.5:6000\"]\n+  \"insecure-registries\": [\"192.168.1.5:6000\", \"h:1\"]\n") {
		t.Errorf("exit %d\n%s\n%s", code, stdout, stderr)
	}
}

func TestConfigureJSON(t *testing.T) {
	root := t.TempDir()
	t.Setenv(clients.PasswordVariable, "hush")
	for _, c := range []struct {
		host, content, diff string
		backup              bool
	}{
		{"h.example:1", "password: ********\n", "", false},
		{"i.example:1", "", "+    endpoint:\n", true},
	} {
		code, stdout, _ := do(t, "configure", "k3s", "--registry", c.host, "--user", "bob", "--root", root, "--write", "--json")
		var doc clientsReport
		if err := json.Unmarshal([]byte(stdout), &doc); err != nil || code != 0 || len(doc.Results) != 1 {
			t.Fatalf("exit %d, %v: %s", code, err, stdout)
		}
		f := doc.Results[0]
		if f.Path != "/etc/rancher/k3s/registries.yaml" || !f.Changed || f.Mode != "0600" || (f.Backup != "") != c.backup || !doc.Written ||
			!strings.Contains(f.Content, c.content) || !strings.Contains(f.Diff, c.diff) || len(doc.Restart) != 1 || len(doc.Notes) == 0 {
			t.Errorf("got %s", stdout)
		}
		if strings.Contains(stdout, "hush") {
			t.Errorf("the password is shown: %s", stdout)
		}
	}
	text, err := os.ReadFile(filepath.Join(root, "etc/rancher/k3s/registries.yaml"))
	if err != nil || strings.Count(string(text), "password: hush\n") != 2 {
		t.Errorf("%v: %s", err, text)
	}
}

func TestConfigureReadsThePasswordFromStdin(t *testing.T) {
	root := t.TempDir()
	t.Setenv(clients.PasswordVariable, "from the environment")
	for text, want := range map[string]int{"from stdin\n": 0, "": exitUsage, "two\nlines\n": exitUsage} {
		onStdin(t, text)
		code, _, stderr := do(t, "configure", "k3s", "--registry", "h.example", "--user", "bob", "--password-stdin", "--root", root, "--write")
		if code != want {
			t.Errorf("%q: exit %d: %s", text, code, stderr)
		}
	}
	text, err := os.ReadFile(filepath.Join(root, "etc/rancher/k3s/registries.yaml"))
	if err != nil || !strings.Contains(string(text), "password: from stdin\n") {
		t.Errorf("%v: %s", err, text)
	}
}

func TestConfigureExits(t *testing.T) {
	broken, wrong := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(broken, "etc"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(wrong, "etc/docker"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(wrong, "etc/docker/daemon.json"), []byte("{\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]int{
		"configure docker": exitUsage,
		"configure docker --registry h:1 --password-stdin":              exitUsage,
		"configure docker --registry mac --root " + wrong:               exitUsage,
		"configure docker --registry h:1 --root " + wrong:               exitUsage,
		"configure docker --registry h:1 --root " + wrong + "/none":     exitUsage,
		"configure docker --registry h:1 --root " + broken + " --write": exitEnvironment,
	} {
		code, stdout, stderr := do(t, strings.Fields(args)...)
		if code != want || stdout != "" || stderr == "" {
			t.Errorf("%s: exit %d, want %d\n%s%s", args, code, want, stdout, stderr)
		}
	}
}
