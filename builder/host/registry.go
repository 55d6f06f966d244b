package host

import (
	"context"
	"strings"
)

// Registry is the registry that images are pushed to, as whoever can speak with
// it, and reads its clients' configuration, has found it.
type Registry struct {
	Address string   // how it answers: http://HOST or https://HOST
	Problem string   // why it cannot be used; "" if it can
	Clients []string // of this machine that ought to know a registry with HTTP
	Unaware []string // those that do not
	Refused string   // why the clients' configuration cannot be completed, with what to do; "" if it can

	// Configure completes the configuration of the clients, and reports what
	// it wrote and what is to be restarted.
	Configure func(report func(string)) error
}

// registry judges what was found.
func (r Registry) findings() []Finding {
	const name = "registry"
	if r.Problem != "" {
		return []Finding{{Name: name, Severity: Warning, What: r.Problem, Why: "images cannot be pushed to it, nor pulled from it",
			Fix: "start it there (riscv-build registry serve), check the network, or name another one with --registry"}}
	}
	f := good(name, Warning, r.Address+" answers")
	if !strings.HasPrefix(r.Address, "http://") {
		return []Finding{f}
	}
	return []Finding{f, r.clients()}
}

// clients says whether the programs that pull here know that it speaks HTTP.
func (r Registry) clients() Finding {
	f := Finding{Name: "registry clients", Severity: Warning,
		Why: "they speak HTTPS with a registry that they do not know, and their pulls fail"}
	switch {
	case r.Refused != "":
		f.What, f.Fix = "HTTP registry not configured: "+r.Refused, "correct that file, then doctor --fix"
		return f
	case len(r.Unaware) > 0:
		f.What = "HTTP registry not configured: " + strings.Join(r.Unaware, ", ")
		f.Fix = "riscv-build configure " + strings.Join(r.Unaware, " ") + " --registry " + r.Address + " --write (doctor --fix does that)"
		if r.Configure != nil {
			f.mend = func(_ context.Context, report func(string)) error { return r.Configure(report) }
		}
		return f
	case len(r.Clients) == 0:
		return good(f.Name, Warning, "none here that must know of HTTP")
	}
	return good(f.Name, Warning, "configured: "+strings.Join(r.Clients, ", "))
}
