package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// serving runs `registry serve` with arguments until the test ends, and gives
// the line that it prints first and the address in it.
func serving(t *testing.T, args ...string) (line, address string) {
	t.Helper()
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("RISCV_BUILD_STATE_DIR", filepath.Join(t.TempDir(), "state"))
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, append([]string{"riscv-build", "registry", "serve", "--addr", "127.0.0.1:0"}, args...), io.Discard, w)
		_ = w.Close()
	}()
	out := bufio.NewReader(r)
	line, err := out.ReadString('\n')
	rest := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(out)
		rest <- string(text)
	}()
	t.Cleanup(func() {
		cancel()
		if c := <-code; c != exitOK {
			t.Errorf("exit %d\n%s%s", c, line, <-rest)
		}
	})
	at := regexp.MustCompile(`on (https?://\S+);`).FindStringSubmatch(line)
	if err != nil || at == nil {
		t.Fatalf("got %q, %v", line, err)
	}
	return line, at[1]
}

func TestRegistryServe(t *testing.T) {
	f := filled(t)
	root := filepath.Join(t.TempDir(), "root")
	line, address := serving(t, "--root", root)
	if !strings.Contains(line, "riscv-build configure k3s --registry "+address+" --write") || !strings.Contains(line, root) {
		t.Error(line)
	}
	if code, _, stderr := do(t, "copy", f.ref("riscv64/busybox:1"), address+"/riscv64/busybox:1"); code != 0 {
		t.Fatalf("exit %d, %s", code, stderr)
	}
	if code, stdout, stderr := do(t, "registry", "ls", address); code != 0 || !strings.Contains(stdout, "riscv64/busybox:1  linux/riscv64") {
		t.Errorf("exit %d, %s%s", code, stdout, stderr)
	}
	if code, stdout, stderr := do(t, "registry", "rm", address+"/riscv64/busybox:1"); code != 0 {
		t.Errorf("exit %d, %s%s", code, stdout, stderr)
	}
	code, stdout, stderr := do(t, "registry", "gc", "--root", root, "--untagged", "--grace", "0s", "--dry-run")
	if code != 0 || !strings.Contains(stdout, "would delete manifest riscv64/busybox@sha256:") || !strings.Contains(stdout, "would delete 1 manifests, 3 blobs, 0 uploads") {
		t.Errorf("exit %d, %s%s", code, stdout, stderr)
	}
	code, stdout, stderr = do(t, "registry", "gc", "--root", root, "--untagged", "--grace", "0s", "--json")
	var doc struct {
		Results   []struct{ Kind string }
		Manifests int
		Bytes     int64
	}
	if err := json.Unmarshal([]byte(stdout), &doc); err != nil || code != 0 || doc.Manifests != 1 || len(doc.Results) != 4 || doc.Bytes < 1000 {
		t.Errorf("exit %d, %v, %s%s", code, err, stdout, stderr)
	}
	if code, _, stderr := do(t, "registry", "serve", "--addr", "127.0.0.1:0", "--root", root); code != exitEnvironment || !strings.Contains(stderr, "serve.lock") {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

func TestRegistryServeOverTLS(t *testing.T) {
	root := t.TempDir()
	line, address := serving(t, "--root", root, "--tls-self-signed", "127.0.0.1,board.local", "--quiet")
	ca := filepath.Join(root, "tls", "ca.crt")
	if !strings.HasPrefix(address, "https://") || !strings.Contains(line, "clients reach it as 127.0.0.1:") || !strings.Contains(line, "--ca "+ca) {
		t.Error(line)
	}
	run := configured(t, "[registries.\""+strings.TrimPrefix(address, "https://")+"\"]\nca = \""+ca+"\"\n")
	if code, _, stderr := run("registry", "ls", address); code != 0 {
		t.Errorf("exit %d, %s", code, stderr)
	}
	if code, _, stderr := do(t, "registry", "ls", address); code != exitNetwork || !strings.Contains(stderr, "CA's certificate") {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

// TestRegistryServeWithAccounts: the account is the one of the docker configuration.
func TestRegistryServeWithAccounts(t *testing.T) {
	f := filled(t)
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "htpasswd")
	if err := os.WriteFile(file, []byte("anna:"+string(hash)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, address := serving(t, "--root", filepath.Join(dir, "root"), "--htpasswd", file)
	t.Setenv("DOCKER_CONFIG", dir)
	push := []string{"copy", f.ref("riscv64/busybox:1"), address + "/riscv64/busybox:1"}
	if code, _, stderr := do(t, push...); code != exitNetwork || !strings.Contains(stderr, "docker login") {
		t.Errorf("exit %d, %s", code, stderr)
	}
	account := `{"auths":{"` + strings.TrimPrefix(address, "http://") + `":{"auth":"` + base64.StdEncoding.EncodeToString([]byte("anna:secret")) + `"}}}`
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(account), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := do(t, push...); code != exitOK {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

func TestRegistryServeAsCache(t *testing.T) {
	f := filled(t)
	_, address := serving(t, "--proxy", f.URL)
	if code, stdout, stderr := do(t, "registry", "inspect", address+"/riscv64/busybox:1"); code != 0 || !strings.Contains(stdout, "linux/riscv64") {
		t.Errorf("exit %d, %s%s", code, stdout, stderr)
	}
	code, _, stderr := do(t, "copy", f.ref("riscv64/busybox:1"), address+"/mine/busybox:1")
	if code != exitNetwork || !strings.Contains(stderr, "this is a cache of "+f.URL) {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

func TestRegistryServeRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	bad := filepath.Join(t.TempDir(), "htpasswd")
	if err := os.WriteFile(bad, []byte("anna:{SHA}x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for args, want := range map[string]struct {
		code int
		text string
	}{
		"--addr nonsense":                      {exitUsage, "[ADDRESS]:PORT"},
		"--addr :port":                         {exitUsage, "[ADDRESS]:PORT"},
		"--addr " + taken.Addr().String():      {exitEnvironment, "another port"},
		"--tls-cert x":                         {exitUsage, "give both"},
		"--tls-cert x --tls-key y":             {exitEnvironment, `certificate "x"`},
		"--tls-self-signed http://x":           {exitUsage, "no host name"},
		"--tls-self-signed ,":                  {exitUsage, "names nothing"},
		"--tls-self-signed a --tls-cert b":     {exitUsage, "give both"},
		"--anonymous-pull":                     {exitUsage, "--htpasswd"},
		"--htpasswd " + bad:                    {exitUsage, bad + ":1: the hash is not bcrypt"},
		"--htpasswd /nonexistent":              {exitEnvironment, "htpasswd -Bc"},
		"--log-format xml":                     {exitUsage, "text, json"},
		"--proxy //x":                          {exitUsage, "no host"},
		"--root /dev/null/x":                   {exitEnvironment, "name another with --root"},
		"surplus":                              {exitUsage, "takes none"},
		"--root " + root + " --addr 192.0.2.1": {exitUsage, "[ADDRESS]:PORT"},
	} {
		list := append([]string{"registry", "serve"}, strings.Fields(args)...)
		if !strings.Contains(args, "--addr") {
			list = append(list, "--addr", "127.0.0.1:0")
		}
		if code, _, stderr := do(t, list...); code != want.code || !strings.Contains(stderr, want.text) {
			t.Errorf("%s: exit %d, %s", args, code, stderr)
		}
	}
	for args, want := range map[string]int{
		"--root /nonexistent": exitEnvironment, "--grace -1s": exitUsage, "x": exitUsage,
	} {
		if code, _, stderr := do(t, append([]string{"registry", "gc"}, strings.Fields(args)...)...); code != want {
			t.Errorf("gc %s: exit %d, %s", args, code, stderr)
		}
	}
}
