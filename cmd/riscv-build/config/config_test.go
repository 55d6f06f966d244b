package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/recipes"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheUsersFileWins(t *testing.T) {
	system := write(t, "system.toml", `
mirrors = ["http://mirror.example/debian"]
snapshot = "none"
cache_limit = "5GB"
containerd = "none"
[registries."one.example:5000"]
plain_http = true
[registries."two.example"]
ca = "/etc/ca.pem"
`)
	user := write(t, "user.toml", `
cache_limit = "1GiB"
stall = "90s"
state_dir = "/srv/state"
[registries."two.example"]
plain_http = false
`)
	c, err := Load([]string{system, user, filepath.Join(t.TempDir(), "absent.toml")})
	if err != nil {
		t.Fatal(err)
	}
	if c.Mirrors[0] != "http://mirror.example/debian" || c.Snapshot != "none" || c.CacheLimit != "1GiB" || c.StateDir != "/srv/state" || c.StallTime() != 90*time.Second || c.Containerd != "none" {
		t.Errorf("got %+v", c)
	}
	one, two := c.Registries["one.example:5000"], c.Registries["two.example"]
	if !one.PlainHTTP || two.PlainHTTP || two.CA != "" {
		t.Errorf("got %+v", c.Registries)
	}
}

func TestProblems(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		line int
		want string
	}{
		"unknown key":     {"\nmirror = []\n", 2, `"mirrors"`},
		"unknown in deep": {"[registries.\"a.example\"]\nplain_htp = true\n", 2, `"plain_http"`},
		"wrong type":      {"mirrors = \"http://mirror.example\"\n", 1, "list"},
		"no size":         {"\n\ncache_limit = \"much\"\n", 3, "no size"},
		"no time":         {"stall = \"soon\"\n", 1, "no time"},
		"too short":       {"\nstall = \"5ms\"\n", 2, "less than a second"},
		"relative":        {"state_dir = \"state\"\n", 1, "absolute"},
		"half a key pair": {"snapshot = \"none\"\n[registries.\"a.example\"]\ncert = \"/c.pem\"\n", 2, "without its key"},
		"no socket":       {"containerd = \"containerd.sock\"\n", 1, "names no containerd"},
		"no engine":       {"\nengine = \"http://a.example\"\n", 2, "names no engine"},
		"relative TLS":    {"engine_tls = \"certs\"\n", 1, "absolute"},
		"no registry":     {"registry = \"a b\"\n", 1, "no registry"},
		"syntax":          {"mirrors = [\n", 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, "config.toml", c.text)
			_, err := Load([]string{path})
			var ps recipes.Problems
			if !errors.As(err, &ps) || len(ps) != 1 {
				t.Fatalf("got %v", err)
			}
			if ps[0].File != path || ps[0].Line < c.line || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %+v, want line %d and %q", ps[0], c.line, c.want)
			}
		})
	}
}

func TestPushRegistry(t *testing.T) {
	one := map[string]Registry{"a.example": {}}
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{}, ""}, {Config{Registries: one}, "a.example"}, {Config{Registry: "b.example/team", Registries: one}, "b.example/team"},
		{Config{Registries: map[string]Registry{"a.example": {}, "b.example": {}}}, ""},
	} {
		if got := c.config.PushRegistry(); got != c.want {
			t.Errorf("%+v: got %q", c.config, got)
		}
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]int64{"": 0, "10GB": 1e10, "1 GiB": 1 << 30, "1.5k": 1500, "77": 77, "3b": 3} {
		if got, err := Size(text); err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"x", "-1GB", "GB", "NaN", "9999999999GB"} {
		if got, err := Size(text); err == nil {
			t.Errorf("%q: got %d", text, got)
		}
	}
}

func TestPlaces(t *testing.T) {
	place := func(euid int, env map[string]string) Place {
		return Place{Getenv: func(k string) string { return env[k] }, EUID: euid}
	}
	for _, c := range []struct {
		name, flag string
		place      Place
		config     Config
		want       string
	}{
		{"flag", "/f", place(0, map[string]string{EnvStateDir: "/e"}), Config{StateDir: "/c"}, "/f"},
		{"environment", "", place(0, map[string]string{EnvStateDir: "/e"}), Config{StateDir: "/c"}, "/e"},
		{"configuration", "", place(0, nil), Config{StateDir: "/c"}, "/c"},
		{"root", "", place(0, map[string]string{"HOME": "/root"}), Config{}, "/var/lib/riscv-build"},
		{"xdg", "", place(7, map[string]string{"HOME": "/home/u", "XDG_STATE_HOME": "/x"}), Config{}, "/x/riscv-build"},
		{"home", "", place(7, map[string]string{"HOME": "/home/u", "XDG_STATE_HOME": "rel"}), Config{}, "/home/u/.local/state/riscv-build"},
	} {
		if got, err := c.place.StateDir(c.flag, &c.config); err != nil || got != c.want {
			t.Errorf("%s: got %q, %v, want %q", c.name, got, err, c.want)
		}
	}
	if _, err := place(7, nil).StateDir("", &Config{}); err == nil || !strings.Contains(err.Error(), "--state-dir") {
		t.Errorf("without a home: %v", err)
	}
	if got := place(0, nil).Files(); len(got) != 1 {
		t.Errorf("without a home: %v", got)
	}
	if got := place(0, map[string]string{"XDG_CONFIG_HOME": "/x"}).Files(); len(got) != 2 || got[1] != "/x/riscv-build/config.toml" {
		t.Errorf("got %v", got)
	}
}
