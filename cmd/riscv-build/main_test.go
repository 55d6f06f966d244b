package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/log"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/builder/engine"
	"github.com/riscv-build/riscv-build/builder/fetch"
	"github.com/riscv-build/riscv-build/pusher"
	"github.com/riscv-build/riscv-build/recipes"
)

func TestMain(m *testing.M) {
	if err := log.SetLevel("error"); err != nil { // as main does
		panic(err)
	}
	os.Exit(m.Run())
}

// do runs the program in a directory of its own.
func do(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	t.Chdir(t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("RISCV_BUILD_STATE_DIR", filepath.Join(t.TempDir(), "state"))
	var out, errs bytes.Buffer
	code = run(context.Background(), append([]string{"riscv-build"}, args...), &out, &errs)
	return code, out.String(), errs.String()
}

func TestWrongUsage(t *testing.T) {
	for args, want := range map[string]string{
		"":                                    "name a recipe",
		"buidl x":                             `did you mean "build"?`,
		"nosuch":                              "no verb, no file and no recipe",
		"nosuch.toml":                         "no such file",
		"dir/nosuch":                          "no such file",
		".":                                   "it is a directory",
		"nosuch.toml --mode croos":            "no such file",
		"graph --format svg x":                "text, json, dot, llb",
		"graph":                               "name one",
		"check":                               "name one",
		"push x":                              "without an image or without a reference",
		"load":                                "loading no image",
		"load nosuch":                         "no such file",
		"load 127.0.0.1:1/App:1":              "lower case",
		"run":                                 "running no image",
		"run x --in dokcer":                   `did you mean "docker"?`,
		"run x --net bridge":                  "host, none",
		"run x --volume /a":                   "HOST:CONTAINER",
		"nginx --load=dokcer":                 `did you mean "docker"?`,
		"nginx --tag 1":                       "--push or --load",
		"init":                                "init NAME",
		"init Foo":                            "small letters",
		"init x --template autotool":          `did you mean "autotools"?`,
		"cache":                               "cache du",
		"cache prune --keep much":             "reading size",
		"cache du x":                          "takes none",
		"completion tcsh":                     "bash, zsh, fish",
		"version x":                           "takes none",
		"doctor --progress plain":             "no such flag",
		"validate":                            "no .toml file",
		"cache du --progress plain":           "no such flag",
		"fetch x.toml --mirror":               "needs a value",
		"build x.toml --jobs many":            "invalid value",
		"cache prune --older-than -1h":        "at least 0",
		"validate --mirror ftp://x nope.toml": "no such file",
	} {
		t.Run(args, func(t *testing.T) {
			code, stdout, stderr := do(t, strings.Fields(args)...)
			if code != exitUsage || !strings.Contains(stderr, want) || stdout != "" {
				t.Errorf("exit %d\nstdout %q\nstderr %q\nwant exit 2 and %q", code, stdout, stderr, want)
			}
		})
	}
}

func TestEveryProblemOfEveryRecipeAtOnce(t *testing.T) {
	dir := t.TempDir()
	var args []string
	for _, name := range []string{"a", "b"} {
		path := filepath.Join(dir, name+".toml")
		if err := os.WriteFile(path, []byte("schema = 1\nname = \""+name+"\"\nversoin = \"1\"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
	}
	code, stdout, stderr := do(t, append(args, "--json")...)
	if code != exitUsage || !strings.Contains(stderr, "a.toml:3") || !strings.Contains(stderr, "b.toml:3") {
		t.Errorf("exit %d, %s", code, stderr)
	}
	var doc struct {
		Results []any
		Error   string
	}
	if err := json.Unmarshal([]byte(stdout), &doc); err != nil || doc.Results == nil || !strings.Contains(doc.Error, "a.toml:3") {
		t.Errorf("got %v, %s", err, stdout)
	}
}

func TestAWrongConfigurationIsUsage(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "riscv-build"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "riscv-build", "config.toml"), []byte("\nmirorrs = []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_CONFIG_HOME", dir)
	var out, errs bytes.Buffer
	code := run(context.Background(), []string{"riscv-build", "cache", "du"}, &out, &errs)
	if code != exitUsage || !strings.Contains(errs.String(), "config.toml:2") {
		t.Errorf("exit %d: %s", code, errs.String())
	}
}

func TestInitMakesARecipeThatValidates(t *testing.T) {
	for _, template := range []string{"autotools", "make", "script"} {
		t.Run(template, func(t *testing.T) {
			code, stdout, stderr := do(t, "init", "--template", template, "sub/hello")
			if code != 0 || !strings.Contains(stdout, "sub/hello.toml") {
				t.Fatalf("exit %d\n%s\n%s", code, stdout, stderr)
			}
			var out, errs bytes.Buffer
			code = run(context.Background(), []string{"riscv-build", "validate", "--offline", "sub/hello.toml"}, &out, &errs)
			if code != 0 || out.String() != "sub/hello.toml: ok\n" {
				t.Errorf("exit %d\n%s\n%s", code, out.String(), errs.String())
			}
			if code := run(context.Background(), []string{"riscv-build", "init", "sub/hello"}, &out, &errs); code != exitUsage {
				t.Errorf("a recipe was overwritten: exit %d", code)
			}
		})
	}
}

func TestSmallVerbs(t *testing.T) {
	for args, want := range map[string]string{
		"version":              "riscv-build ",
		"--version":            "riscv-build ",
		"--help":               "completion",
		"help lock":            "--allow-expired",
		"nginx --help":         "--push",
		"schema":               "\"$schema\"",
		"schema --reference":   "image",
		"completion fish":      "complete -c riscv-build",
		"cache du --verbose":   "",
		"cache prune":          "0 blobs deleted",
		"cache prune --keep 0": "0 blobs deleted",
	} {
		t.Run(args, func(t *testing.T) {
			code, stdout, stderr := do(t, strings.Fields(args)...)
			if code != 0 || !strings.Contains(stdout, want) {
				t.Errorf("exit %d\nstdout %q\nstderr %q\nwant %q", code, stdout, stderr, want)
			}
		})
	}
}

func TestCompletionIsShell(t *testing.T) {
	code, script, _ := do(t, "completion", "bash")
	if code != 0 {
		t.Fatal(code)
	}
	cmd := exec.Command("bash", "-c", script+`
COMP_WORDS=(riscv-build gr); COMP_CWORD=1; _riscv_build; echo "${COMPREPLY[@]}"
COMP_WORDS=(riscv-build cache p); COMP_CWORD=2; _riscv_build; echo "${COMPREPLY[@]}"
COMP_WORDS=(riscv-build x.toml --no); COMP_CWORD=2; _riscv_build; echo "${COMPREPLY[@]}"`)
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "graph\nprune\n--no-cache\n" {
		t.Errorf("%v: %q", err, out)
	}
}

func TestExitCodes(t *testing.T) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, exitOK},
		{errors.New("x"), exitFailed},
		{usagef("x"), exitUsage},
		{recipes.Problems{{}}, exitUsage},
		{&builder.StaleError{}, exitUsage},
		{environmentError{errors.New("x")}, exitEnvironment},
		{&engine.EnvironmentError{}, exitEnvironment},
		{&engine.SpaceError{}, exitEnvironment},
		{&fetch.SpaceError{}, exitEnvironment},
		{&fetch.OfflineError{}, exitNetwork},
		{&fetch.GoneError{}, exitNetwork},
		{&pusher.Error{}, exitNetwork},
		{&engine.ExecError{}, exitFailed},
	} {
		wrapped := c.err
		if wrapped != nil {
			wrapped = errors.Join(fmt.Errorf("building: %w", c.err))
		}
		if got := exitCode(context.Background(), wrapped); got != c.want {
			t.Errorf("%T: got %d, want %d", c.err, got, c.want)
		}
		if got := exitCode(ended, wrapped); c.err != nil && got != exitInterrupted {
			t.Errorf("%T, interrupted: got %d", c.err, got)
		}
	}
}
