// Package boardrig gives tests simulated riscv64 boards: a riscv64 Linux with
// containerd and runc, booted under QEMU. It drives the scripts beside it, builds
// a board's disk when it is missing, and puts the program under test on it. A
// board ends with its test. It asserts nothing about what is done on a board.
package boardrig

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/tests/rig"
)

// Suites whose software boards have.
const (
	Stable = "stable" // containerd 1.7
	Forky  = "forky"  // containerd 2.1
)

const (
	// Program is where the program under test is on a board.
	Program = "/usr/local/bin/riscv-build"
	// Host is the address by which a board reaches what listens on the host's 127.0.0.1.
	Host = "10.0.2.2"
	// SeedDir is where it has what was given as Options.Seed; a board may write there.
	SeedDir = "/var/lib/riscv-build"
	// HostDir is where a board has Board.Share of the host.
	HostDir = "/host"

	// bootLimit is far above the 10 s that a boot takes: other tests may run.
	bootLimit = 10 * time.Minute
	execLimit = 3 * time.Hour
)

// Options of a board; the zero value is what most tests want.
type Options struct {
	Suite   string // Stable is the default
	Memory  string // "2G"
	Persist bool   // its disks outlive Cut and Stop, until the test ends
	Seed    string // a directory of the host: what is in it, the board has in SeedDir, on a disk of its own
	Kernel  string // more for the kernel's command line
	QEMU    string // more for QEMU's, separated by spaces
	Forward int    // a port of the board that the host reaches at Board.Forwarded
}

// Board is a board. It may be used by one goroutine at a time.
type Board struct {
	t   *testing.T
	opt Options
	run string // what it writes
	env []string

	forwarded string
}

// Start boots a board with the program on it, and stops it with the test. What
// the program downloads there comes from the host's mirrors.
func Start(t *testing.T, opt Options) *Board {
	t.Helper()
	b := prepare(t, opt)
	t.Cleanup(b.end)
	t.Cleanup(b.explain)
	b.Boot()
	return b
}

var shared struct {
	sync.Mutex
	boards map[Options]*Board
	told   map[*testing.T]*Board // whose failure is explained
}

// Shared is a board of a suite that the tests of a package have in common, so that not
// every one waits for a boot. What a test does on it, it must undo; state
// directories are its own. It is stopped when all tests have ended.
func Shared(t *testing.T, suite string) *Board {
	t.Helper()
	return SharedWith(t, Options{Suite: suite})
}

// SharedWith is Shared for a board of some options.
func SharedWith(t *testing.T, opt Options) *Board {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.boards == nil {
		shared.boards, shared.told = map[Options]*Board{}, map[*testing.T]*Board{}
	}
	b := shared.boards[opt]
	if b == nil {
		b = prepare(t, opt)
		rig.Finally(b.end)
		b.Boot()
		shared.boards[opt] = b
	}
	own := &Board{t: t, opt: b.opt, run: b.run, env: b.env, forwarded: b.forwarded}
	if shared.told[t] != b {
		shared.told[t] = b
		t.Cleanup(own.explain)
	}
	return own
}

// prepare finds what a board needs, and does not start it.
func prepare(t *testing.T, opt Options) *Board {
	t.Helper()
	if opt.Suite == "" {
		opt.Suite = Stable
	}
	if opt.Memory == "" {
		opt.Memory = "2G"
	}
	run, err := os.MkdirTemp(rig.Work, "board-")
	if err != nil {
		t.Fatal(err)
	}
	persist, cache := "0", "unsafe"
	if opt.Persist {
		persist, cache = "1", "writethrough"
	}
	if opt.Seed != "" {
		disk := seedDisk(t, opt.Seed, run)
		opt.QEMU += fmt.Sprintf(" -drive file=%s,format=raw,if=none,id=seed,discard=unmap,cache=%s -device virtio-blk-pci,drive=seed", disk, cache)
	}
	return &Board{t: t, opt: opt, run: run, env: []string{
		"BOARD_DIR=" + image(t, opt.Suite), "BOARD_RUN=" + run,
		"BOARD_OWNER=" + strconv.Itoa(os.Getpid()), "PERSIST=" + persist, "MEM=" + opt.Memory,
		"APPEND=" + opt.Kernel, "QEMU=" + opt.QEMU, "WAIT=" + strconv.Itoa(int(bootLimit.Seconds())),
	}}
}

// Boot starts a board that was stopped or cut off. Its door is at another port
// each time: while it was off, somebody else may have come to use the last one.
func (b *Board) Boot() {
	b.t.Helper()
	b.env = append(b.env, "BOARD_PORT="+strconv.Itoa(rig.FreePort(b.t)))
	if b.opt.Forward > 0 {
		port := rig.FreePort(b.t)
		b.forwarded = fmt.Sprintf("127.0.0.1:%d", port)
		b.env = append(b.env, fmt.Sprintf("FORWARD=%d:%d", port, b.opt.Forward))
	}
	if r := b.script(b.context(bootLimit+time.Minute), "start"); r.Code != 0 {
		b.t.Fatalf("starting a board: %s%s", r.Stdout, r.Stderr)
	}
	if b.opt.Seed != "" {
		b.Must("mkdir -p " + SeedDir + " && mount /dev/vdb " + SeedDir)
	}
	b.Copy(program(b.t), Program)
	b.Copy(filepath.Join(scripts(), "peak.sh"), "/usr/local/bin/peak")
}

// Forwarded is the address, HOST:PORT, by which the host reaches Options.Forward
// since the last boot.
func (b *Board) Forwarded() string { return b.forwarded }

// Share is a directory of the host that the board has as HostDir.
func (b *Board) Share() string { return filepath.Join(b.run, "share") }

// Exec runs a shell script on the board. Code 255 says that the board does not answer.
func (b *Board) Exec(script string) rig.Result {
	b.t.Helper()
	return b.ExecContext(b.context(execLimit), script)
}

// ExecContext is Exec; when ctx ends, the script is no longer waited for.
func (b *Board) ExecContext(ctx context.Context, script string) rig.Result {
	return b.script(ctx, "exec", "export "+strings.Join(mirrorEnv(b.t, Host), " ")+"\n"+script)
}

// Must runs a shell script that has to succeed.
func (b *Board) Must(script string) rig.Result {
	b.t.Helper()
	r := b.Exec(script)
	if r.Code != 0 {
		b.t.Fatalf("on the board: %s: exit code %d\n%s\n%s", script, r.Code, rig.Tail(r.Stdout, 20), rig.Tail(r.Stderr, 60))
	}
	return r
}

// Copy copies a file of the host to the board, with its mode; a directory with
// all that is in it.
func (b *Board) Copy(from, to string) {
	b.t.Helper()
	info, err := os.Stat(from)
	if err != nil {
		b.t.Fatal(err)
	}
	if !info.IsDir() {
		if r := b.script(b.context(bootLimit), "copy", from, to); r.Code != 0 {
			b.t.Fatalf("copying %q to the board: %s", from, r.Stderr)
		}
		return
	}
	aside, err := os.MkdirTemp(b.Share(), "copy-")
	if err != nil {
		b.t.Fatal(err)
	}
	defer os.RemoveAll(aside)
	if err := os.CopyFS(aside, os.DirFS(from)); err != nil {
		b.t.Fatal(err)
	}
	b.Must(fmt.Sprintf("mkdir -p %q && cp -r %s/%s/. %[1]q", to, HostDir, filepath.Base(aside)))
}

// Cut cuts the board's power.
func (b *Board) Cut() {
	b.t.Helper()
	if r := b.script(b.context(time.Minute), "cut"); r.Code != 0 {
		b.t.Fatalf("cutting a board's power: %s", r.Stderr)
	}
}

// Stop shuts the board down.
func (b *Board) Stop() {
	b.t.Helper()
	if r := b.script(b.context(2*time.Minute), "stop"); r.Code != 0 {
		b.t.Fatalf("stopping a board: %s", r.Stderr)
	}
}

// Console is what the board wrote to its console.
func (b *Board) Console() string { return b.script(b.context(time.Minute), "log").Stdout }

// end cuts the power of a board that still has it: nobody needs its disk.
func (b *Board) end() {
	b.script(context.Background(), "cut")
	_ = os.RemoveAll(b.run)
}

// explain adds to a failed test what its board has to say.
func (b *Board) explain() {
	if b.t.Failed() {
		r := b.script(b.context(time.Minute), "exec", "tail -n 15 /var/log/containerd.log; dmesg | tail -n 5")
		b.t.Logf("the board's containerd and kernel said:\n%s", r.Stdout)
	}
}

// context ends with the limit. It is not that of the test, which is over when
// boards are stopped.
func (b *Board) context(limit time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	time.AfterFunc(limit+time.Minute, cancel)
	return ctx
}

func (b *Board) script(ctx context.Context, args ...string) rig.Result {
	return rig.Command(ctx, b.env, filepath.Join(scripts(), "board.sh"), args...)
}

// scripts is the directory of the scripts.
func scripts() string { return filepath.Join(rig.Root(), "tests", "board") }

// seedDisk makes a disk of 6 GB with what is in a directory.
func seedDisk(t *testing.T, dir, run string) string {
	t.Helper()
	disk := filepath.Join(run, "seed.img")
	if _, err := rig.Sh("mke2fs", "-q", "-t", "ext4", "-J", "size=32", "-E", "lazy_itable_init=1,lazy_journal_init=1", "-m", "0", "-d", dir, disk, "6G"); err != nil {
		t.Fatal(err)
	}
	return disk
}

// once keeps what is made once in a test process, or why it could not be.
type once struct {
	sync.Mutex
	made map[string]func() (string, error)
}

func (o *once) get(t testing.TB, key string, produce func() (string, error)) string {
	t.Helper()
	o.Lock()
	if o.made == nil {
		o.made = map[string]func() (string, error){}
	}
	if o.made[key] == nil {
		o.made[key] = sync.OnceValues(produce)
	}
	get := o.made[key]
	o.Unlock()
	value, err := get()
	if err != nil {
		t.Fatal(err)
	}
	return value
}

var images, programs once

// image is the directory of a suite's board, which is built when it is missing.
func image(t *testing.T, suite string) string {
	t.Helper()
	for program, pkg := range map[string]string{
		"qemu-system-riscv64": "qemu-system-misc", "mmdebstrap": "mmdebstrap", "arch-test": "arch-test", "ssh": "openssh-client",
		"curl": "curl", "xz": "xz-utils", "mke2fs": "e2fsprogs", "qemu-riscv64-static": "qemu-user-static",
	} {
		rig.Need(t, program, pkg)
	}
	return images.get(t, suite, func() (string, error) {
		r := rig.Command(context.Background(), []string{"SUITE=" + suite}, filepath.Join(scripts(), "make-board.sh"))
		if r.Code != 0 {
			return "", fmt.Errorf("building a board of %s: exit code %d\n%s", suite, r.Code, rig.Tail(r.Stderr, 30))
		}
		return filepath.Clean(r.Stdout[:max(0, len(r.Stdout)-1)]), nil
	})
}

// program is the program under test for a board.
func program(t testing.TB) string {
	t.Helper()
	return programs.get(t, "riscv-build", func() (string, error) {
		out := filepath.Join(rig.Work, "board", "riscv-build")
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, "./cmd/riscv-build")
		cmd.Dir = rig.Root()
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=riscv64")
		if said, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("building the program for a board: %w\n%s", err, said)
		}
		return out, nil
	})
}
