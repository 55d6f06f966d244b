// Package host finds out whether this machine can build: the programs, kernel
// features, space and network that a build needs, each as a finding that says
// what is wrong, why it matters and which command repairs it. It can also
// repair the one thing that needs no package: the binfmt_misc handler that
// makes riscv64 programs run under QEMU.
//
// It is not for deciding how a build goes, and it knows no engine: `doctor`
// prints its findings, and whoever refuses to start a build may quote them.
package host

import (
	"context"
	"net/http"
	"time"
)

// Severity says what a finding that is not OK means for a build.
type Severity string

// The severities. With an Error a build on this machine fails; a Warning may
// make it slow, or make it fail in some cases; Info is a fact.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
	Info    Severity = "info"
)

// Finding is the outcome of one check.
type Finding struct {
	Name     string   `json:"name"` // short and stable: "runc", "binfmt handler"
	OK       bool     `json:"ok"`
	Severity Severity `json:"severity"`      // what it would mean if it is not OK
	What     string   `json:"what"`          // what was found
	Why      string   `json:"why,omitempty"` // why it matters; only if not OK
	Fix      string   `json:"fix,omitempty"` // a command or an instruction; only if not OK
}

// Options say what to check against.
type Options struct {
	StateDir  string       // where space and overlayfs are tried; the nearest existing parent if it does not exist
	Mirrors   []string     // base URLs of Debian mirrors that a build would use
	NotBefore time.Time    // the clock must not be before this: when the program was built
	Client    *http.Client // for mirrors; nil: one with a timeout of 10 s
}

// Check runs every check that applies to this machine, in a fixed order. A
// check that cannot be made is a finding, never an error.
func Check(ctx context.Context, o Options) []Finding {
	m := thisMachine()
	findings := m.system(ctx)
	findings = append(findings, m.emulation(ctx)...)
	findings = append(findings, m.space(o.StateDir)...)
	findings = append(findings, m.clock(o.NotBefore, time.Now()))
	return append(findings, mirrors(ctx, o)...)
}

// Failed reports whether a finding stands in the way of a build.
func Failed(findings []Finding) bool {
	for _, f := range findings {
		if !f.OK && f.Severity == Error {
			return true
		}
	}
	return false
}

// machine is where the checks look. Tests point it at directories of their own.
type machine struct {
	goos, goarch string
	euid         int
	proc         string   // /proc
	binfmt       string   // /proc/sys/fs/binfmt_misc
	path         []string // where programs are looked for
}

// good is a finding about something that is as it should be.
func good(name string, severity Severity, what string) Finding {
	return Finding{Name: name, OK: true, Severity: severity, What: what}
}
