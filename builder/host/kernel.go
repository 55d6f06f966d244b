package host

import (
	"fmt"
	"path/filepath"
	"strings"
)

// namespaces checks for those that runc unshares for every container, and for
// those that other containers want.
func (m machine) namespaces() Finding {
	f := Finding{Name: "namespaces", Severity: Error, Why: "every build step and every test runs in namespaces of its own"}
	if !exists(m.proc, "self", "ns") {
		f.What, f.Fix = fmt.Sprintf("%q is not there", filepath.Join(m.proc, "self", "ns")), "mount -t proc proc /proc"
		return f
	}
	needed := []string{"mnt", "pid", "net", "ipc", "uts"}
	if missing, closed := m.lackingNamespaces(needed); len(missing)+len(closed) > 0 {
		f.What, f.Fix = m.describeNamespaces(missing, closed)
		return f
	}
	other := []string{"cgroup", "user"}
	if missing, closed := m.lackingNamespaces(other); len(missing)+len(closed) > 0 {
		f.Severity, f.Why = Warning, "builds go without; rootless containers, and pods that ask for them, do not start"
		f.What, f.Fix = m.describeNamespaces(missing, closed)
		return f
	}
	return good(f.Name, Error, strings.Join(append(needed, other...), ", "))
}

// lackingNamespaces gives those that the kernel does not have, and those of
// which it allows none.
func (m machine) lackingNamespaces(kinds []string) (missing, closed []string) {
	for _, kind := range kinds {
		switch {
		case !exists(m.proc, "self", "ns", kind):
			missing = append(missing, kind)
		case text(m.proc, "sys/user", "max_"+kind+"_namespaces") == "0":
			closed = append(closed, kind)
		}
	}
	return missing, closed
}

func (m machine) describeNamespaces(missing, closed []string) (what, fix string) {
	if len(missing) > 0 {
		return "the kernel has no namespaces of kind " + strings.Join(missing, ", "),
			"install a kernel with CONFIG_NAMESPACES and its options, such as " + m.debianKernel()
	}
	var settings []string
	for _, kind := range closed {
		settings = append(settings, "user.max_"+kind+"_namespaces=10000")
	}
	return "the kernel allows no namespaces of kind " + strings.Join(closed, ", "), "sysctl -w " + strings.Join(settings, " ")
}

// seccomp filters the system calls of containers. BuildKit goes without where
// there is none.
func (m machine) seccomp() Finding {
	const name = "seccomp"
	if exists(m.proc, "sys/kernel/seccomp/actions_avail") {
		return good(name, Warning, "filters work")
	}
	return Finding{Name: name, Severity: Warning, What: "the kernel has no seccomp filters",
		Why: "builds go without; pods with a seccomp profile, as Kubernetes makes them by default, do not start",
		Fix: "install a kernel with CONFIG_SECCOMP_FILTER, such as " + m.debianKernel(),
	}
}

// debianKernel names a kernel that has all that is looked for here.
func (m machine) debianKernel() string { return "Debian's linux-image-" + m.goarch }
