package tests

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/tests/rig"
)

// smallRecipe is an image of one package on an empty base: quick to lock and to fetch.
const smallRecipe = `schema = 1
name = "zones"
version = "1"
summary = "time zones"
license = "public domain"
[image]
base = "scratch"
packages = ["tzdata"]
`

func writeRecipe(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "zones.toml")
	write(t, file, text)
	return file
}

// TestLineIRelease: what a mirror can do to Release files and indexes. Nothing
// is resolved, no lock is written, and the message says what to do.
func TestLineIRelease(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	cases := []struct {
		name string
		set  func()
		code int
		want []string
	}{
		{"an unsigned Release", func() { m.unsigned = true }, 4, []string{"InRelease", "signed"}},
		{"an expired Release", func() {
			m.release = func(_ string, f map[string]string) { f["Valid-Until"] = stamp(time.Now().Add(-24 * time.Hour)) }
		}, 4, []string{"InRelease", "expired", "allow"}},
		{"a Release from the future", func() {
			m.release = func(_ string, f map[string]string) { f["Date"] = stamp(time.Now().Add(72 * time.Hour)) }
		}, 3, []string{"InRelease", "clock"}},
		{"another suite", func() {
			m.release = func(_ string, f map[string]string) { f["Codename"], f["Suite"] = "woody", "oldoldstable" }
		}, 4, []string{"InRelease", "woody"}},
		{"no Release", func() { m.break_("/InRelease", gone) }, 4, []string{"InRelease", "404"}},
		{"a stale index", func() { m.break_("binary-riscv64/Packages.xz", lying) }, 4, []string{"binary-riscv64/Packages.xz", "sha256"}},
		{"a truncated index", func() { m.break_("binary-riscv64/Packages.xz", truncated) }, 4, []string{"binary-riscv64/Packages.xz"}},
		{"no index", func() { m.break_("binary-riscv64/Packages.xz", gone) }, 4, []string{"binary-riscv64/Packages.xz", "404"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m.mend()
			c.set()
			file := writeRecipe(t, smallRecipe)
			s := emptyState(t, "state")
			s.env = m.env()
			r := s.run("lock", file, "--keyring", m.keyring)
			for _, w := range c.want {
				if !strings.Contains(r.Stderr, w) {
					t.Errorf("the message does not say %q", w)
				}
			}
			if r.Code != c.code {
				t.Errorf("exit %d, want %d", r.Code, c.code)
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), "riscv-build.lock")); err == nil {
				t.Error("a lock was written")
			}
			figure(t, "I", "a mirror with "+c.name+" has its message", "message and exit code", !t.Failed(), false)
			if t.Failed() {
				t.Log(tail(r.Stderr, 15))
			}
		})
	}
}

// spoiltPackage is how an error names a package of smallRecipe or of its tests.
var spoiltPackage = regexp.MustCompile(`downloading "(tzdata|busybox-static)_[^"]+" \(sha256:[0-9a-f]{64}\):\n\s+http://\S+\.deb: `)

// TestLineIPool: what a mirror can do to packages. After the fault the next
// run, with a sound mirror, goes on. Most of its time is the wait for a mirror that
// stalls, which is why the tests of this file run beside each other.
func TestLineIPool(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	file := writeRecipe(t, smallRecipe)
	first := emptyState(t, "lock")
	first.env = m.env()
	first.ok("lock", file, "--keyring", m.keyring)
	cases := []struct {
		name  string
		fault fault
		want  []string
	}{
		{"404", gone, []string{"tzdata", "busybox-static", "404"}},
		{"truncation", truncated, []string{"truncated"}},
		{"other bytes", lying, []string{"sha256"}},
		{"a stall", stalling, []string{"stall"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m.mend()
			m.break_(".deb", c.fault)
			s := emptyState(t, "state")
			s.env = m.env()
			r := s.run("fetch", file, "--locked", "--keyring", m.keyring)
			for _, w := range c.want {
				if !strings.Contains(strings.ToLower(r.Stderr), w) {
					t.Errorf("the message does not say %q", w)
				}
			}
			// Every package is spoilt: the message names the one whose download
			// failed first, and its address.
			if !spoiltPackage.MatchString(r.Stderr) {
				t.Error("the message names no package and address")
			}
			if r.Code != 4 {
				t.Errorf("exit %d, want 4", r.Code)
			}
			if blobs, _ := filepath.Glob(filepath.Join(s.dir, "content", "blobs", "sha256", "*")); len(blobs) > 0 {
				t.Errorf("kept %d blobs", len(blobs))
			}
			figure(t, "I", "a mirror with "+c.name+" for a package has its message, nothing half-written is kept", "message and exit code 4", !t.Failed(), false)
			if t.Failed() {
				t.Log(tail(r.Stderr, 15))
			}
			m.mend()
			s.ok("fetch", file, "--locked", "--keyring", m.keyring)
		})
	}
}

// TestLineIDiskFull: a full disk during fetch and during a build.
func TestLineIDiskFull(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		during string
		free   int64 // bytes
	}{{"fetch", 20 << 20}, {"build", 300 << 20}} {
		t.Run(c.during, func(t *testing.T) {
			disk := smallDisk(t, 6<<10)
			s := &state{t: t, dir: filepath.Join(disk, "state")}
			if c.during == "build" {
				s.ok("fetch", "nginx")
			}
			hog := filepath.Join(disk, "hog")
			fill(t, disk, hog, c.free)
			r := s.run(c.during, "nginx")
			told := r.Code == 3 && strings.Contains(r.Stderr, "space")
			figure(t, "I", fmt.Sprintf("disk full during %s: exit %d", c.during, r.Code), "exit 3 and a message about space", told, false)
			if !told {
				t.Log(tail(r.Stderr, 20))
			}
			os.Remove(hog)
			again := s.run(c.during, "nginx")
			figure(t, "I", fmt.Sprintf("with space again %s goes on: exit %d", c.during, again.Code), "exit 0", again.Code == 0, false)
		})
	}
}

// smallDisk mounts a filesystem of a few MiB: a loop device with ext4, because
// overlayfs needs a real one.
func smallDisk(t *testing.T, mib int) string {
	t.Helper()
	dir := filepath.Join(rig.Work, "disk-"+filepath.Base(t.Name()))
	img := dir + ".img"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][]string{{"truncate", "-s", fmt.Sprintf("%dM", mib), img}, {"mkfs.ext4", "-q", img}, {"mount", "-o", "loop", img, dir}} {
		if out, err := exec.CommandContext(context.Background(), c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", strings.Join(c, " "), err, out)
		}
	}
	t.Cleanup(func() { exec.Command("umount", "-l", dir).Run(); os.Remove(img) })
	return dir
}

// fill leaves so many bytes free.
func fill(t *testing.T, disk, hog string, free int64) {
	t.Helper()
	out, err := sh("df", "--output=avail", "-B1", disk)
	if err != nil {
		t.Fatal(err)
	}
	var avail int64
	fmt.Sscan(strings.Fields(out)[1], &avail)
	if _, err := sh("fallocate", "-l", fmt.Sprint(avail-free), hog); err != nil {
		t.Fatal(err)
	}
}
