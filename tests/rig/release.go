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

// release is a program of a release of Debian, with the programs that it runs.
type release struct {
	suite    string   // name of its directory
	names    []string // of the suite: a mirror in the middle of a sync can be broken under one and whole under another
	packages string   // to unpack, with what they depend on
	programs []string // to take out of them, the one that says its version first
	version  string   // how that begins
	format   int      // of containerd's configuration file
}

var containerdPrograms = []string{"usr/bin/containerd", "usr/bin/containerd-shim-runc-v2", "usr/bin/ctr", "usr/bin/runc", "usr/sbin/runc"}

var containerdReleases = map[string]release{
	Bookworm: {Bookworm, []string{"bookworm", "oldstable", "oldoldstable"}, "containerd,runc", containerdPrograms, "1.6.", 2},
	Trixie:   {Trixie, []string{"trixie", "stable", "oldstable"}, "containerd,runc", containerdPrograms, "1.7.", 2},
	Forky:    {Forky, []string{"forky", "testing", "stable"}, "containerd,runc", containerdPrograms, "2.", 3},
}

// dockerRelease is a Docker with containerd's image store.
var dockerRelease = release{
	suite: "docker", names: containerdReleases[Trixie].names, packages: "docker.io,containerd,runc", version: "26.",
	programs: append([]string{"usr/sbin/dockerd", "usr/bin/docker-proxy", "usr/sbin/docker-proxy", "usr/bin/docker-init"}, containerdPrograms...),
}

// releaseLayout is a part of the names of kept directories: a number for
// another way to make them.
const releaseLayout = "1"

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

// install gives the directory with the programs of a release and the version of
// the first: they run whatever libc the machine has. The first test that asks
// assembles it, the others wait.
func (r release) install(t *testing.T) (bin, version string) {
	t.Helper()
	parent := filepath.Join(cacheDir(), "containerd")
	if err := os.MkdirAll(parent, 0o755); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(parent, strings.Join([]string{r.suite, runtime.GOARCH, releaseLayout}, "-"))
	lock, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close() // and with it the lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatalf("locking %q: %v", lock.Name(), err)
	}
	if version, err = r.check(dir); err == nil {
		return filepath.Join(dir, "bin"), version
	}
	Need(t, "mmdebstrap", "mmdebstrap")
	Need(t, "patchelf", "patchelf")
	if version, err = r.assemble(dir); err != nil {
		t.Fatalf("assembling %s of %s: %v", r.packages, r.names[0], err)
	}
	return filepath.Join(dir, "bin"), version
}

// assemble makes the directory from the packages of the release.
func (r release) assemble(dir string) (version string, err error) {
	mirrors, err := debian.Discover(debian.DiscoverOptions{})
	if err != nil {
		return "", err
	}
	var tries []error
	for _, mirror := range mirrors.Debian[:min(2, len(mirrors.Debian))] {
		for _, name := range r.names {
			err := r.assembleFrom(dir, mirror.URL, name)
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

// check gives the version of the programs in a directory, an error if it is not
// one of this release.
func (r release) check(dir string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	name := filepath.Join(dir, "bin", filepath.Base(r.programs[0]))
	said := Command(ctx, nil, name, "--version")
	// "containerd github.com/containerd/containerd/v2 2.1.9+unknown REVISION",
	// "Docker version 26.1.5+dfsg1, build REVISION"
	words := strings.Fields(said.Stdout)
	if said.Code != 0 || len(words) < 3 {
		return "", fmt.Errorf("asking %q for its version: exit code %d\n%s%s", name, said.Code, said.Stdout, said.Stderr)
	}
	version := strings.TrimSuffix(words[2], ",")
	if !strings.HasPrefix(version, r.version) {
		return "", fmt.Errorf("%q is version %s, want %s*", name, version, r.version)
	}
	return version, nil
}

func (r release) assembleFrom(dir, mirror, suite string) error {
	packages, aside := dir+".packages", dir+".aside"
	for _, d := range []string{packages, aside} {
		if err := os.RemoveAll(d); err != nil {
			return err
		}
		defer os.RemoveAll(d)
	}
	// Nothing is configured or run: the packages are unpacked.
	_, err := Sh("mmdebstrap", "--quiet", "--variant=extract", "--architectures="+runtime.GOARCH, "--include="+r.packages,
		"--keyring="+filepath.Join(Root(), "builder/debian/keyring"), `--aptopt=Acquire::Check-Valid-Until "false"`, suite, packages, mirror)
	if err != nil {
		return err
	}
	if err := r.pick(packages, aside); err != nil {
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

// pick copies the programs and the libraries out of a root directory.
func (r release) pick(root, dir string) error {
	for sub, patterns := range map[string][]string{
		"bin": r.programs,
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
