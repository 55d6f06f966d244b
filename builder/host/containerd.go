package host

import (
	"fmt"
	"strings"
)

// oldestContainerd is the oldest containerd that builds were tried with.
const oldestContainerd = "1.6"

// Containerd is the containerd that builds on this machine use, as whoever can
// speak with it has found it.
type Containerd struct {
	Address    string   // of its socket; "" if there is none
	Version    string   // as it tells it, such as "v2.1.4-k3s1"
	Namespaces []string // that it has
	Problem    string   // why it cannot be used, with what to do; "" if it can
	Named      bool     // by the user: a build does not go on without it
}

// containerd judges what was found. Without one, builds use runc.
func (m machine) containerd(c Containerd) Finding {
	f := Finding{Name: "containerd", Severity: Warning,
		Why: "builds fall back to runc; images can not be loaded for K3s",
		Fix: m.startContainerd()}
	switch {
	case c.Problem != "" && c.Named:
		f.Severity, f.What = Error, c.Problem
		f.Why = "builds were told to use it, by --containerd, RISCV_BUILD_CONTAINERD or the configuration"
		return f
	case c.Problem != "":
		f.What = c.Problem
		return f
	case c.Address == "" && m.goarch == "riscv64":
		f.What = "none answers"
		return f
	case c.Address == "":
		return good(f.Name, Info, "none; builds use runc")
	}
	number := versionNumber.FindString(c.Version)
	if number == "" || older(number, oldestContainerd) {
		f.What = fmt.Sprintf("version %q at %s, older than %s", c.Version, c.Address, oldestContainerd)
		f.Why = "builds were never tried with a containerd this old"
		f.Fix = "apt-get install containerd"
		return f
	}
	return good(f.Name, Warning, fmt.Sprintf("version %s at %s%s", strings.TrimPrefix(c.Version, "v"), c.Address, listNamespaces(c)))
}

func listNamespaces(c Containerd) string {
	whose := ""
	if c.Address == k3sSocket {
		whose = " (K3s)"
	}
	if len(c.Namespaces) == 0 {
		return whose
	}
	return whose + ", namespaces " + strings.Join(c.Namespaces, ", ")
}

// startContainerd is the command that brings a containerd up.
func (m machine) startContainerd() string {
	installed, _ := m.k3s()
	switch {
	case installed:
		return "systemctl start k3s (k3s-agent on an agent)"
	case m.find("containerd") != "":
		return "systemctl start containerd"
	}
	return "apt-get install containerd, or start K3s"
}
