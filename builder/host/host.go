// Package host finds out whether this machine can build: its processor, the
// kernel features, programs, space and network that a build needs, each as a
// finding that says what is wrong, why it matters and which command repairs it.
// It also repairs what needs no package and no decision of its owner: a handler
// that makes riscv64 programs run under QEMU, modules and controllers that the
// kernel has but does not use, a clock that starts in 1970.
//
// It is not for deciding how a build goes, and it knows no engine and no
// registry: `doctor` prints its findings, and whoever refuses to start a build
// may quote them. What was found out about containerd and the registry is told
// to it.
package host

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Severity says what a finding that is not OK means for a build.
type Severity string

// The severities. With an Error a build on this machine fails; a Warning may
// make it slow, make it fail in some cases, or keep its image from being used
// here; Info is a fact.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
	Info    Severity = "info"
)

// Finding is the outcome of one check.
type Finding struct {
	Name     string   `json:"name"` // short and stable: "runc", "riscv64 handler"
	OK       bool     `json:"ok"`
	Severity Severity `json:"severity"`      // what it would mean if it is not OK
	What     string   `json:"what"`          // what was found
	Why      string   `json:"why,omitempty"` // why it matters; only if not OK
	Fix      string   `json:"fix,omitempty"` // a command or an instruction; only if not OK

	mend mend // nil where this program cannot do it
}

// mend repairs what a finding is about, and reports each thing that it does.
type mend func(ctx context.Context, report func(string)) error

// Options say what to check against.
type Options struct {
	StateDir   string       // where space and overlayfs are tried; the nearest existing parent if it does not exist
	Mirrors    []string     // base URLs of mirrors of the Debian archive that a build would use
	Security   []string     // the same of the security archive
	NotBefore  time.Time    // the clock must not be before this: when the program was built
	Client     *http.Client // for mirrors; nil: the default one
	Containerd *Containerd  // nil: builds are not to use one
	Registry   *Registry    // nil: none is named
	// QEMU brings a static qemu-riscv64 to a machine that has none, and gives
	// its path. nil: nobody does.
	QEMU func(ctx context.Context) (string, error)
}

// Check runs every check that applies to this machine, in a fixed order. A
// check that cannot be made is a finding, never an error.
func Check(ctx context.Context, o Options) []Finding {
	m := thisMachine()
	m.bring = o.QEMU
	findings := m.system(ctx, o)
	findings = append(findings, m.emulation(ctx)...)
	findings = append(findings, m.kubernetes()...)
	findings = append(findings, m.space(o.StateDir)...)
	network := m.network(ctx, o)
	findings = append(findings, m.clock(o.NotBefore, time.Now(), network.date))
	return append(findings, network.findings...)
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

// Mend repairs what was found and can be repaired without installing anything,
// and reports each thing it does. The error names what is left, with the reason.
func Mend(ctx context.Context, findings []Finding, report func(string)) error {
	var left []error
	for _, f := range findings {
		if f.OK {
			continue
		}
		if f.mend == nil {
			left = append(left, fmt.Errorf("mending %q: that is left to you: %s", f.Name, f.Fix))
			continue
		}
		if err := f.mend(ctx, report); err != nil {
			left = append(left, fmt.Errorf("mending %q: %w", f.Name, err))
		}
	}
	return errors.Join(left...)
}

// machine is where the checks look. Tests point it at directories of their own.
type machine struct {
	goos, goarch string
	euid         int
	proc         string   // /proc
	sys          string   // /sys
	binfmt       string   // /proc/sys/fs/binfmt_misc
	root         string   // where /etc, /boot, /lib/modules, /run and /var are: ""
	release      string   // of the kernel, as uname -r says it; "" if it says nothing
	path         []string // where programs are looked for
	bring        func(context.Context) (string, error)
	getenv       func(string) string
}

// good is a finding about something that is as it should be.
func good(name string, severity Severity, what string) Finding {
	return Finding{Name: name, OK: true, Severity: severity, What: what}
}
