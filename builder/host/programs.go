package host

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"time"

	"pault.ag/go/debian/version"
)

// The oldest versions that builds were tried with.
const (
	oldestRunc = "1.1.0"
	oldestQEMU = "7.2"
)

// thisMachine looks at the real machine. Directories of system programs are
// searched even where an unprivileged PATH leaves them out.
func thisMachine() machine {
	path := filepath.SplitList(os.Getenv("PATH"))
	path = append(path, "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", k3sBin)
	return machine{
		goos: runtime.GOOS, goarch: runtime.GOARCH, euid: os.Geteuid(),
		proc: "/proc", sys: "/sys", binfmt: "/proc/sys/fs/binfmt_misc", release: kernelRelease(),
		path: path, getenv: os.Getenv,
	}
}

// find returns the path of the first program of these names, or "".
func (m machine) find(names ...string) string {
	for _, name := range names {
		for _, dir := range m.path {
			p := filepath.Join(dir, name)
			if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
				return p
			}
		}
	}
	return ""
}

var versionNumber = regexp.MustCompile(`\d+\.\d+(\.\d+)?`)

// programVersion asks a program for its version; "" if it does not say.
func programVersion(ctx context.Context, program string) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, "--version").Output()
	if err != nil {
		return ""
	}
	return string(versionNumber.Find(out))
}

// runc finds the OCI runtime that containers are started with: by the embedded
// engine, or by containerd.
func (m machine) runc(ctx context.Context) Finding {
	f := Finding{Name: "runc", Severity: Error, Why: "every build step and every test runs in a container that runc starts"}
	program := m.find("buildkit-runc", "runc")
	if program == "" {
		f.What = "runc is not installed"
		f.Fix = "apt-get install runc"
		return f
	}
	v := programVersion(ctx, program)
	if v == "" {
		f.What = fmt.Sprintf("%s does not tell its version", program)
		f.Fix = "apt-get install --reinstall runc"
		return f
	}
	if older(v, oldestRunc) {
		f.Severity = Warning
		f.What = fmt.Sprintf("%s is version %s, older than %s", program, v, oldestRunc)
		f.Why = "builds were never tried with a runc this old"
		f.Fix = "apt-get install runc"
		return f
	}
	return good(f.Name, Error, fmt.Sprintf("%s version %s", program, v))
}

// older compares two upstream versions.
func older(a, b string) bool {
	va, errA := version.Parse(a)
	vb, errB := version.Parse(b)
	return errA == nil && errB == nil && version.Compare(va, vb) < 0
}
