package main

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/recipes"
)

func TestArrange(t *testing.T) {
	app := newApp(io.Discard, io.Discard)
	for _, c := range []struct{ in, want string }{
		{"nginx", "build -- nginx"},
		{"nginx.toml --push h:1", "build --push h:1 -- nginx.toml"},
		{"--push h:1 nginx.toml --json redis.toml", "build --push h:1 --json -- nginx.toml redis.toml"},
		{"nginx --push=h:1 -v", "build --push=h:1 -v -- nginx"},
		{"-v build nginx", "build -v -- nginx"},
		{"--state-dir build lock", "lock --state-dir build --"},
		{"build build", "build -- build"},
		{"nginx -- --odd.toml -v", "build -- nginx --odd.toml -v"},
		{"-- lock", "build -- lock"},
		{"--json", "build --json --"},
		{"cache du --verbose", "cache du --verbose --"},
		{"cache --keep 1GB prune", "cache prune --keep 1GB --"},
		{"cache nope", "cache -- nope"},
		{"lock --update nginx", "lock --update -- nginx"},
		{"lock --help", "lock --help"},
		{"help", "--help"},
		{"help cache du", "cache du --help"},
		{"nginx -h --json", "build --help"},
		{"--version", "version"},
		{"--server http://h ls", "builds ls --server http://h --"},
		{"logs 7 -f", "builds logs -f -- 7"},
		{"serve --registry --addr :1", "serve --registry --addr :1 --"},
		{"serve token add x --role read", "serve token add --role read -- x"},
		{"search nginx --registry h:1", "search --registry h:1 -- nginx"},
		{"push - h/r:t", "push -- - h/r:t"},
	} {
		got, err := arrange(app, append([]string{"riscv-build"}, strings.Fields(c.in)...))
		if err != nil {
			t.Errorf("%q: %v", c.in, err)
			continue
		}
		if text := strings.Join(got[1:], " "); text != c.want {
			t.Errorf("%q:\n got %q\nwant %q", c.in, text, c.want)
		}
	}
}

func TestUnknownFlagsAreNamed(t *testing.T) {
	app := newApp(io.Discard, io.Discard)
	for in, want := range map[string]string{
		"nginx --psh h":        `did you mean "--push"?`,
		"cache prune --kep 1G": `did you mean "--keep"?`,
		"doctor --offline":     `verb "doctor": it has no such flag`,
		"nginx -xyzzy":         "--help",
		"nginx --version":      "no such flag",
		"build x --push":       "needs a value",
		"x --jobs -- y":        "needs a value",
		"":                     "name a recipe",
	} {
		_, err := arrange(app, append([]string{"riscv-build"}, strings.Fields(in)...))
		if err == nil || !is[usageError](err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", in, err, want)
		}
	}
}

// Before the verb is known, a flag must already say whether it takes a value.
func TestAFlagMeansTheSameForEveryVerb(t *testing.T) {
	kinds := map[string]bool{}
	var walk func([]*cli.Command)
	walk = func(commands []*cli.Command) {
		for _, c := range commands {
			for _, f := range c.Flags {
				isBool := !takesValue(f)
				for _, name := range f.Names() {
					if name == "registry" && c.Name == "serve" {
						continue // it stands after its verb, which says what it is
					}
					if before, ok := kinds[name]; ok && before != isBool {
						t.Errorf("flag %q of verb %q takes a value for one verb and none for another", name, c.Name)
					}
					kinds[name] = isBool
				}
			}
			walk(c.Subcommands)
		}
	}
	walk(newApp(io.Discard, io.Discard).Commands)
	for _, own := range []string{"help", "h", "version"} {
		if _, ok := kinds[own]; ok {
			t.Errorf("flag %q is the program's own", own)
		}
	}
}

// Verbs win over names of the catalogue, so a recipe of that name could only be
// built as `riscv-build build NAME`. Known cases stand here.
func TestCatalogueNamesAreNoVerbs(t *testing.T) {
	known := []string{}
	verbs := append(verbNames(newApp(io.Discard, io.Discard)), "help")
	for _, name := range recipes.Catalog() {
		if slices.Contains(verbs, name) && !slices.Contains(known, name) {
			t.Errorf("catalogue recipe %q is also a verb", name)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"build", "lock", "nginx", "redis"}
	for word, want := range map[string]string{"buidl": "build", "ngnix": "nginx", "rdis": "redis", "elasticsearch": "", "zz": ""} {
		if got := nearest(word, known); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}
