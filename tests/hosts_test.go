package tests

import (
	"bytes"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/riscv-build/riscv-build/builder/debian"
)

// TestNoMirrorOfThisMachine: which mirror and which module proxy the machine
// happens to use, where this was written, belongs in no file. Hosts of the
// built-in list are there on purpose.
func TestNoMirrorOfThisMachine(t *testing.T) {
	hosts := append(aptHosts(t), proxyHosts(t)...)
	for _, known := range builtinHosts(t) {
		hosts = slices.DeleteFunc(hosts, func(h string) bool { return h == known })
	}
	for _, name := range files(t) {
		text, err := os.ReadFile(filepath.Join(root(), name))
		if err != nil {
			continue // deleted, or a link to nowhere
		}
		for _, h := range hosts {
			if bytes.Contains(text, []byte(h)) {
				t.Errorf("%s names %s, a host of this machine's configuration", name, h)
			}
		}
	}
}

// files are those that are tracked or about to be.
func files(t *testing.T) []string {
	t.Helper()
	cmd := exec.Command("git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard", "-z")
	cmd.Dir = root()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("listing the files of the checkout: %v", err)
	}
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == 0 })
}

var webHost = regexp.MustCompile(`https?://([^/\s]+)`)

// aptHosts are the hosts of the package sources, without commented lines.
func aptHosts(t *testing.T) []string {
	t.Helper()
	names := []string{"/etc/apt/sources.list"}
	for _, pattern := range []string{"*.list", "*.sources"} {
		more, err := filepath.Glob("/etc/apt/sources.list.d/" + pattern)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, more...)
	}
	var hosts []string
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(strings.TrimSpace(line), "#") {
				continue
			}
			for _, m := range webHost.FindAllStringSubmatch(line, -1) {
				hosts = append(hosts, m[1])
			}
		}
	}
	return hosts
}

// proxyHosts are the hosts of the Go module proxies.
func proxyHosts(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOPROXY").Output()
	if err != nil {
		t.Fatal(err)
	}
	var hosts []string
	for _, m := range webHost.FindAllStringSubmatch(strings.NewReplacer(",", " ", "|", " ").Replace(string(out)), -1) {
		hosts = append(hosts, m[1])
	}
	return hosts
}

// builtinHosts are those that the program knows by itself: what it finds on a
// machine without configuration.
func builtinHosts(t *testing.T) []string {
	t.Helper()
	m, err := debian.Discover(debian.DiscoverOptions{Root: t.TempDir(), Getenv: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	var hosts []string
	for _, mirror := range slices.Concat(m.Debian, m.Security, []debian.Mirror{m.Snapshot}) {
		if u, err := url.Parse(mirror.URL); err == nil {
			hosts = append(hosts, u.Host)
		}
	}
	return hosts
}
