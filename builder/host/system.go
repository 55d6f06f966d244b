package host

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// system checks what containers need: operating system, architecture, root,
// runc and cgroups.
func (m machine) system(ctx context.Context) []Finding {
	findings := []Finding{m.operatingSystem()}
	if m.goos != "linux" {
		return findings
	}
	return append(findings, m.architecture(), m.root(), m.runc(ctx), m.cgroups())
}

func (m machine) operatingSystem() Finding {
	if m.goos == "linux" {
		return good("operating system", Error, "linux")
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

func (m machine) root() Finding {
	if m.euid == 0 {
		return good("root", Error, "running as root")
	}
	return Finding{Name: "root", Severity: Error,
		What: fmt.Sprintf("running as user id %d", m.euid),
		Why:  "the embedded engine mounts file systems and starts containers",
		Fix:  "run riscv-build as root (sudo riscv-build ...)",
	}
}

// cgroups looks for a mounted hierarchy of either version: runc wants one.
func (m machine) cgroups() Finding {
	kinds := map[string]bool{}
	mounts, err := m.mounts()
	if err != nil {
		return Finding{Name: "cgroups", Severity: Error, What: err.Error(),
			Why: "runc places every container in a cgroup", Fix: "mount -t proc proc /proc"}
	}
	for _, mt := range mounts {
		kinds[mt.fstype] = true
	}
	switch {
	case kinds["cgroup2"] && !kinds["cgroup"]:
		return good("cgroups", Error, "version 2")
	case kinds["cgroup"]:
		return good("cgroups", Error, "version 1")
	}
	return Finding{Name: "cgroups", Severity: Error, What: "no cgroup file system is mounted",
		Why: "runc places every container in a cgroup",
		Fix: "mount -t cgroup2 none /sys/fs/cgroup",
	}
}

type mount struct{ dir, fstype string }

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
		if f := strings.Fields(lines.Text()); len(f) >= 3 {
			all = append(all, mount{dir: f[1], fstype: f[2]})
		}
	}
	return all, lines.Err()
}

// clock refuses a time before the program was built: boards without a
// battery start in 1970, and then no signature and no certificate is valid.
func (m machine) clock(notBefore, now time.Time) Finding {
	const layout = "2006-01-02 15:04 MST"
	if notBefore.IsZero() || !now.Before(notBefore) {
		return good("clock", Error, now.UTC().Format(layout))
	}
	return Finding{Name: "clock", Severity: Error,
		What: fmt.Sprintf("the clock says %s, but this program was built on %s",
			now.UTC().Format(layout), notBefore.UTC().Format(layout)),
		Why: "archive signatures and TLS certificates are not valid before they were made",
		Fix: "set the clock: timedatectl set-ntp true, or date -s '2026-12-31 12:00'",
	}
}
