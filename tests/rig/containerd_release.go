package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/builder/debian"
)

// Releases of Debian, by the containerd that is in them.
const (
	Bookworm = "bookworm" // containerd 1.6
	Trixie   = "trixie"   // containerd 1.7
	Forky    = "forky"    // containerd 2
)

// containerdRelease is the containerd of a release of Debian.
type containerdRelease struct {
	names   []string // of the suite: a mirror in the middle of a sync can be broken under one and whole under another
	version string   // how the version begins
	format  int      // of the configuration file
}

var containerdReleases = map[string]containerdRelease{
	Bookworm: {[]string{"bookworm", "oldstable", "oldoldstable"}, "1.6.", 2},
	Trixie:   {[]string{"trixie", "stable", "oldstable"}, "1.7.", 2},
	Forky:    {[]string{"forky", "testing", "stable"}, "2.", 3},
}

// containerdLayout is a part of the names of kept directories: a number for
// another way to make them.
const containerdLayout = "1"

// cacheDir is where tests keep what takes long to make, such as programs of
// other releases: never in the checkout, which has to stay as it was cloned.
func cacheDir() string {
	base, err := os.UserCacheDir()
	rel, relErr := filepath.Rel(Root(), base)
	if err != nil || relErr == nil && filepath.IsLocal(rel) {
		base = "/var/cache"
	}
	return filepath.Join(base, "riscv-build")
}

// containerdPrograms gives the directory with the programs of a release and the
// version of its containerd: that, its shim, ctr and runc, which run whatever
// libc the machine has. The first test that asks assembles it, the others wait.
func containerdPrograms(t *testing.T, suite string) (bin, version string) {
	t.Helper()
	parent := filepath.Join(cacheDir(), "containerd")
	if err := os.MkdirAll(parent, 0o755); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(parent, strings.Join([]string{suite, runtime.GOARCH, containerdLayout}, "-"))
	lock, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close() // and with it the lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatalf("locking %q: %v", lock.Name(), err)
	}
	r := containerdReleases[suite]
	if version, err = r.check(dir); err == nil {
		return filepath.Join(dir, "bin"), version
	}
	Need(t, "mmdebstrap", "mmdebstrap")
	Need(t, "patchelf", "patchelf")
	if version, err = r.assemble(dir); err != nil {
		t.Fatalf("assembling the containerd of %s: %v", suite, err)
	}
	return filepath.Join(dir, "bin"), version
}

// assemble makes the directory from the packages of the release.
func (r containerdRelease) assemble(dir string) (version string, err error) {
	mirrors, err := debian.Discover(debian.DiscoverOptions{})
	if err != nil {
		return "", err
	}
	var tries []error
	for _, mirror := range mirrors.Debian[:min(2, len(mirrors.Debian))] {
		for _, name := range r.names {
			err := assembleFrom(dir, mirror.URL, name)
			if err == nil {
				version, err = r.check(dir)
			}
			if err == nil {
				return version, nil
			}
			tries = append(tries, err)
		}
	}
	return "", errors.Join(tries...)
}

// check gives the version of the containerd in a directory, an error if it is
// not one of this release.
func (r containerdRelease) check(dir string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	name := filepath.Join(dir, "bin", "containerd")
	said := Command(ctx, nil, name, "--version")
	// "containerd github.com/containerd/containerd/v2 2.1.9+unknown REVISION"
	words := strings.Fields(said.Stdout)
	if said.Code != 0 || len(words) < 3 {
		return "", fmt.Errorf("asking %q for its version: exit code %d\n%s%s", name, said.Code, said.Stdout, said.Stderr)
	}
	if !strings.HasPrefix(words[2], r.version) {
		return "", fmt.Errorf("%q is version %s, want %s*", name, words[2], r.version)
	}
	return words[2], nil
}

func assembleFrom(dir, mirror, suite string) error {
	packages, aside := dir+".packages", dir+".aside"
	for _, d := range []string{packages, aside} {
		if err := os.RemoveAll(d); err != nil {
			return err
		}
		defer os.RemoveAll(d)
	}
	// Nothing is configured or run: the packages are unpacked.
	_, err := Sh("mmdebstrap", "--quiet", "--variant=extract", "--architectures="+runtime.GOARCH, "--include=containerd,runc",
		"--keyring="+filepath.Join(Root(), "builder/debian/keyring"), `--aptopt=Acquire::Check-Valid-Until "false"`, suite, packages, mirror)
	if err != nil {
		return err
	}
	if err := pickPrograms(packages, aside); err != nil {
		return err
	}
	if err := ownLoader(aside, dir); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Rename(aside, dir)
}

// pickPrograms copies the programs and the libraries out of a root directory.
func pickPrograms(root, dir string) error {
	for sub, patterns := range map[string][]string{
		"bin": {"usr/bin/containerd", "usr/bin/containerd-shim-runc-v2", "usr/bin/ctr", "usr/bin/runc", "usr/sbin/runc"},
		"lib": {"lib/*/*.so*", "usr/lib/*/*.so*"},
	} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
		for _, pattern := range patterns {
			files, err := filepath.Glob(filepath.Join(root, pattern))
			if err != nil {
				return err
			}
			for _, file := range files {
				if err := copyProgram(file, filepath.Join(dir, sub, filepath.Base(file))); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// copyProgram copies what a name leads to, and passes over a link that leads
// out of the packages.
func copyProgram(from, to string) error {
	if link, err := os.Readlink(from); err == nil && filepath.IsAbs(link) {
		return nil
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// ownLoader has the programs use the loader and the libraries that lie beside
// them once their directory has its name. A wrapper that calls the loader would
// not do: shim and runc start themselves again, by /proc/self/exe.
func ownLoader(aside, dir string) error {
	programs, err := filepath.Glob(filepath.Join(aside, "bin/*"))
	if err != nil {
		return err
	}
	lib := filepath.Join(dir, "lib")
	for _, p := range programs {
		loader, err := exec.Command("patchelf", "--print-interpreter", p).Output()
		if err != nil {
			continue // a static program
		}
		own := filepath.Join(lib, filepath.Base(strings.TrimSpace(string(loader))))
		if _, err := Sh("patchelf", "--set-interpreter", own, "--force-rpath", "--set-rpath", lib, p); err != nil {
			return err
		}
	}
	return nil
}
