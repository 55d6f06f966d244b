package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/riscv-build/riscv-build/builder/service/access"
)

const serviceExamples = "../../examples/service"

// served holds that a command line of an example is one of `serve`.
func served(t *testing.T, args []string) {
	t.Helper()
	if code, stdout, stderr := do(t, append(args, "--help")...); code != 0 || !strings.Contains(stdout, "--recipes") {
		t.Errorf("%q: exit %d, %s", args, code, stderr)
	}
}

func TestExampleOfTheServiceForSystemd(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(serviceExamples, "riscv-build.service"))
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{}
	for n, line := range strings.Split(string(raw), "\n") {
		key, value, assigns := strings.Cut(line, "=")
		switch {
		case line == "", line[0] == '#', line[0] == '[':
		case !assigns || strings.ContainsAny(key, " \t"):
			t.Errorf("line %d is no setting: %q", n+1, line)
		default:
			settings[key] = value
		}
	}
	for key, want := range map[string]string{"Type": "notify", "Delegate": "yes", "StateDirectory": "riscv-build", "WatchdogSec": "120"} {
		if settings[key] != want {
			t.Errorf("%s is %q, not %q", key, settings[key], want)
		}
	}
	served(t, strings.Fields(strings.ReplaceAll(settings["ExecStart"], "%H", "board"))[1:])
	verifyUnit(t, string(raw))
}

func TestExampleOfTheServiceForK3s(t *testing.T) {
	f, err := os.Open(filepath.Join(serviceExamples, "k3s.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var kinds []string
	var commands [][]string
	for dec := yaml.NewDecoder(f); ; {
		var doc struct {
			Kind       string
			StringData map[string]string `yaml:"stringData"`
			Rest       map[string]any    `yaml:",inline"`
		}
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, doc.Kind)
		commands = append(commands, arguments(doc.Rest)...)
		if doc.Kind == "Secret" {
			checkTokens(t, doc.StringData["tokens.toml"])
		}
	}
	if want := []string{"Namespace", "Secret", "Deployment", "Service"}; !slices.Equal(kinds, want) {
		t.Errorf("the kinds are %q, not %q", kinds, want)
	}
	if len(commands) != 1 {
		t.Fatalf("got %q", commands)
	}
	served(t, commands[0])
}

// checkTokens reads the tokens as the service will.
func checkTokens(t *testing.T, text string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if tokens, err := access.Load(path); err != nil || len(tokens.List()) != 1 {
		t.Errorf("the tokens are %v, %v", tokens.List(), err)
	}
}
