package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const registryExamples = "../../examples/registry"

// accepted holds that a command line of an example is one of this program.
func accepted(t *testing.T, args []string) {
	t.Helper()
	if code, stdout, stderr := do(t, append(args, "--help")...); code != 0 || !strings.Contains(stdout, "registry "+args[1]) {
		t.Errorf("%q: exit %d, %s", args, code, stderr)
	}
}

func TestExampleOfASystemdUnit(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(registryExamples, "riscv-build-registry.service"))
	if err != nil {
		t.Fatal(err)
	}
	sections, starts := 0, 0
	for n, line := range strings.Split(string(raw), "\n") {
		line = strings.TrimSpace(line)
		key, value, assigns := strings.Cut(line, "=")
		switch {
		case line == "", line[0] == '#':
		case line[0] == '[':
			sections++
		case !assigns || strings.ContainsAny(key, " \t"):
			t.Errorf("line %d is no setting: %q", n+1, line)
		case key == "ExecStart":
			starts++
			accepted(t, strings.Fields(value)[1:])
		}
	}
	if sections != 3 || starts != 1 {
		t.Errorf("%d sections, %d commands", sections, starts)
	}
	verifyUnit(t, string(raw))
}

// verifyUnit asks systemd, where there is one; the program need not be installed.
func verifyUnit(t *testing.T, unit string) {
	t.Helper()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		return // a Mac; the settings were read above
	}
	path := filepath.Join(t.TempDir(), "riscv-build-registry.service")
	unit = strings.ReplaceAll(unit, "/usr/local/bin/riscv-build ", "/bin/sh ")
	if err := os.WriteFile(path, []byte(unit), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", path).CombinedOutput(); err != nil || bytes.Contains(out, []byte(path)) {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestExampleForK3s(t *testing.T) {
	f, err := os.Open(filepath.Join(registryExamples, "k3s.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	kinds := map[string]int{}
	var commands [][]string
	for dec := yaml.NewDecoder(f); ; {
		var doc struct {
			Kind string
			Rest map[string]any `yaml:",inline"`
		}
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		kinds[doc.Kind]++
		commands = append(commands, arguments(doc.Rest)...)
	}
	for _, kind := range []string{"Namespace", "PersistentVolumeClaim", "Deployment", "Service", "CronJob"} {
		if kinds[kind] != 1 {
			t.Errorf("%d of kind %s", kinds[kind], kind)
		}
	}
	if len(commands) != 2 {
		t.Fatalf("got %q", commands)
	}
	for _, args := range commands {
		accepted(t, args)
	}
}

// arguments finds the lists named args, at any depth.
func arguments(v any) (found [][]string) {
	switch v := v.(type) {
	case map[string]any:
		for key, below := range v {
			list, isList := below.([]any)
			if key != "args" || !isList {
				found = append(found, arguments(below)...)
				continue
			}
			var args []string
			for _, a := range list {
				args = append(args, a.(string))
			}
			found = append(found, args)
		}
	case []any:
		for _, below := range v {
			found = append(found, arguments(below)...)
		}
	}
	return found
}
