package enginehost

import (
	"context"
	"errors"
	"fmt"
)

// Error is a container engine that did not do what was asked. Exit code 3.
type Error struct {
	Op, Object string // "loading image", "riscv-build.local/engine:1"
	Tool       string // "" where there is none
	Err        error
	Advice     string
}

// Error is one line: what was done with what, where, the cause, what to do.
func (e *Error) Error() string {
	text := fmt.Sprintf("%s %q", e.Op, e.Object)
	if e.Tool != "" {
		text += " with " + e.Tool
	}
	text += fmt.Sprintf(": %v", e.Err)
	if e.Advice != "" {
		text += ": " + e.Advice
	}
	return text
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// ExitCode is that of a machine that lacks something.
func (e *Error) ExitCode() int { return 3 }

// advices say what helps where a command says one of these.
var advices = []struct {
	texts  []string
	advice map[string]string // by command; "" for the others
}{
	{[]string{"permission denied", "access denied", "must be root", "rootless containerd not running"}, map[string]string{
		"":       "run this with sudo",
		"docker": "run this with sudo, or join the group docker (`sudo usermod -aG docker $USER`, then log in anew)",
	}},
	{[]string{"cannot connect", "connection refused", "is the docker daemon running", "cannot access containerd", "unable to connect", "connect: no such file"}, map[string]string{
		"":        "is it running?",
		"docker":  "start it (`sudo systemctl start docker`, Docker Desktop, or `colima start`), or choose another one (`docker context ls`)",
		"nerdctl": "start containerd (`sudo systemctl start containerd`, or `limactl start`)",
		"podman":  "start its machine (`podman machine start`)",
	}},
	{[]string{"privileged", "operation not permitted"}, map[string]string{
		"": "it allows no privileged containers, which an engine has to be: ask who runs it, or run `riscv-build engine serve` on a Linux machine and use it with --engine",
	}},
	{[]string{"no space left"}, map[string]string{"": "free space there, for example by removing images"}},
	{[]string{"already in use", "is already used", "already exists"}, map[string]string{"": "choose another name with --name"}},
}

// fail makes an Error of a command's, but for the end of the caller's context.
func (t *Tool) fail(ctx context.Context, op, object string, err error) error {
	if err == nil {
		return nil
	}
	if cause := ctx.Err(); cause != nil {
		return fmt.Errorf("%s %q with %s: %w", op, object, t.name, cause)
	}
	var already *Error
	if errors.As(err, &already) {
		return err
	}
	return &Error{Op: op, Object: object, Tool: t.name, Err: err, Advice: advice(t.name, err)}
}

func advice(tool string, err error) string {
	for _, a := range advices {
		if said(err, a.texts...) {
			if text, ok := a.advice[tool]; ok {
				return text
			}
			return a.advice[""]
		}
	}
	return "see `" + tool + " info`"
}
