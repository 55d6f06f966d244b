package rig

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// BuildClient builds a program of others, such as crane or buildctl, at the
// version that tests/clientparsers pins, and gives its path.
func BuildClient(t *testing.T, name, pkg string) string {
	t.Helper()
	program := filepath.Join(Work, "bin", name)
	cmd := exec.Command("go", "build", "-C", filepath.Join(Root(), "tests", "clientparsers"), "-o", program, pkg)
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", name, err, out)
	}
	return program
}
