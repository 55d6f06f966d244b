package host

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// system checks what containers need: operating system, processor, root, runc
// and containerd, and the kernel's part.
func (m machine) system(ctx context.Context, o Options) []Finding {
	findings := []Finding{m.operatingSystem()}
	if m.goos != "linux" {
		return findings
	}
	findings = append(findings, m.architecture())
	if m.goarch == "riscv64" {
		findings = append(findings, m.isa(probeExtensions()))
	}
	findings = append(findings, m.privileges(), m.runc(ctx))
	if o.Containerd != nil {
		findings = append(findings, m.containerd(*o.Containerd))
	}
	findings = append(findings, m.namespaces(), m.seccomp())
	return append(findings, m.cgroups()...)
}

func (m machine) operatingSystem() Finding {
	if m.goos == "linux" {
		what := "linux"
		if m.release != "" {
			what += " " + m.release
		}
		return good("operating system", Error, what)
	}
	return Finding{Name: "operating system", Severity: Error,
		What: fmt.Sprintf("%s has no containers of its own", m.goos),
		Why:  "the embedded engine starts Linux containers",
		Fix:  "run riscv-build on Linux, on a board or in a virtual machine",
	}
}

func (m machine) architecture() Finding {
	switch m.goarch {
	case "amd64", "arm64", "riscv64":
		return good("architecture", Error, m.goarch)
	}
	return Finding{Name: "architecture", Severity: Error,
		What: fmt.Sprintf("this is a %s program", m.goarch),
		Why:  "tool chains are locked for amd64, arm64 and riscv64 build hosts",
		Fix:  "build on one of these architectures",
	}
}

func (m machine) privileges() Finding {
	if m.euid == 0 {
		return good("root", Error, "running as root")
	}
	return Finding{Name: "root", Severity: Error,
		What: fmt.Sprintf("running as user id %d", m.euid),
		Why:  "the embedded engine mounts file systems and starts containers",
		Fix:  "run riscv-build as root (sudo riscv-build ...)",
	}
}

// needRoot is the error of a repair that another user began.
func (m machine) needRoot() error {
	if m.euid != 0 {
		return fmt.Errorf("only root can do that: run `sudo riscv-build doctor --fix`")
	}
	return nil
}

type mount struct{ dir, fstype, options string }

// mounts reads the mount table of this process.
func (m machine) mounts() ([]mount, error) {
	file, err := os.Open(filepath.Join(m.proc, "mounts"))
	if err != nil {
		return nil, fmt.Errorf("reading the mount table: %w", err)
	}
	defer file.Close()
	var all []mount
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if f := strings.Fields(lines.Text()); len(f) >= 4 {
			all = append(all, mount{dir: f[1], fstype: f[2], options: f[3]})
		}
	}
	return all, lines.Err()
}

// text reads a small file of the kernel or the system; "" if there is none.
func text(elements ...string) string {
	b, err := os.ReadFile(filepath.Join(elements...))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// exists says whether there is a file or directory.
func exists(elements ...string) bool {
	_, err := os.Stat(filepath.Join(elements...))
	return err == nil
}

// put writes to a control file of the kernel, in one call.
func put(file, value string) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(value); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
