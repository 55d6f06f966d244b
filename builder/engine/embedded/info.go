//go:build linux

package embedded

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/riscv-build/riscv-build/builder/engine"
	"github.com/riscv-build/riscv-build/builder/engine/buildkit"
	"golang.org/x/sys/unix"
)

const binfmtDir = "/proc/sys/fs/binfmt_misc"

// riscv64ELF is the start of a 64-bit little-endian RISC-V executable: the ELF
// identification, then e_type 2 (executable) and e_machine 243 (ELF
// specification, "ELF Header"). Bytes that vary between executables are wild.
var (
	riscv64ELF  = []byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xf3\x00")
	versionText = regexp.MustCompile(`version (\S+)`)
)

// Info tells what the engine is.
func (e *Engine) Info(ctx context.Context) (engine.Info, error) {
	info, err := Identify(ctx)
	info.Worker = e.backend.info()
	return info, err
}

// Identify tells what an engine on this machine is, without starting one; its
// worker is not known then. An
// empty Emulator means that riscv64 programs do not run here.
func Identify(ctx context.Context) (engine.Info, error) {
	info := engine.Info{Name: "embedded", Version: ownVersion(), Platform: platforms.Normalize(platforms.DefaultSpec())}
	info.Platforms = []ocispec.Platform{info.Platform}
	if runtime.GOARCH == buildkit.Target.Architecture {
		release, err := kernelRelease()
		if err != nil {
			return info, err
		}
		info.Emulator = "linux " + release
		return info, nil
	}
	interpreter, err := riscv64Interpreter()
	if err != nil || interpreter == "" {
		return info, err
	}
	info.Platforms = append(info.Platforms, buildkit.Target)
	info.Emulator, err = emulators.identify(ctx, interpreter)
	return info, err
}

func kernelRelease() (string, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return "", fmt.Errorf("asking the kernel for its release: %w", err)
	}
	return unix.ByteSliceToString(name.Release[:]), nil
}

// riscv64Interpreter finds the program that the kernel runs riscv64
// executables with, empty when there is none.
func riscv64Interpreter() (string, error) {
	entries, err := os.ReadDir(binfmtDir)
	if os.IsNotExist(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("listing binary formats in %q: %w: run `riscv-build doctor`", binfmtDir, err)
	}
	for _, entry := range entries {
		if entry.Name() == "register" || entry.Name() == "status" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(binfmtDir, entry.Name()))
		if err != nil {
			return "", fmt.Errorf("reading a binary format: %w: run `riscv-build doctor`", err)
		}
		if interpreter, ok := matchFormat(string(text)); ok {
			return interpreter, nil
		}
	}
	return "", nil
}

// matchFormat reads an entry of binfmt_misc (Linux,
// Documentation/admin-guide/binfmt-misc.rst) and tells its interpreter when it
// is enabled, keeps the interpreter open for use in containers (flag F), and
// would take a riscv64 executable.
func matchFormat(text string) (interpreter string, ok bool) {
	fields := map[string]string{}
	for _, line := range strings.Split(text, "\n") {
		key, value, _ := strings.Cut(strings.Replace(line, ":", "", 1), " ")
		fields[key] = value
	}
	_, enabled := fields["enabled"]
	magic, err := hex.DecodeString(fields["magic"])
	if !enabled || fields["offset"] != "0" || !strings.Contains(fields["flags"], "F") || err != nil || len(magic) == 0 || len(magic) > len(riscv64ELF) {
		return "", false
	}
	mask := bytes.Repeat([]byte{0xff}, len(magic))
	if m, err := hex.DecodeString(fields["mask"]); err == nil && len(m) == len(magic) {
		mask = m
	}
	for i := range magic {
		if (magic[i]^riscv64ELF[i])&mask[i] != 0 {
			return "", false
		}
	}
	return fields["interpreter"], true
}

// emulatorCache remembers versions, by the interpreter's path and modification time.
type emulatorCache struct {
	mu    sync.Mutex
	known map[emulatorKey]string
}

type emulatorKey struct {
	path     string
	modified time.Time
}

var emulators = emulatorCache{known: map[emulatorKey]string{}}

func (c *emulatorCache) identify(ctx context.Context, path string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	info, err := os.Stat(path)
	if err != nil {
		// The kernel holds an interpreter open that was registered from
		// another file system, a container's for example.
		return "qemu-riscv64 registered as " + path, nil
	}
	key := emulatorKey{path: path, modified: info.ModTime()}
	if known, ok := c.known[key]; ok {
		return known, nil
	}
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("asking the emulator %q for its version: %w: run `riscv-build doctor`", path, err)
	}
	version := strings.TrimSpace(string(out))
	if m := versionText.FindStringSubmatch(version); m != nil {
		// The whole first line names the distribution's build too.
		version = strings.SplitN(version[strings.Index(version, m[0])+len("version "):], "\n", 2)[0]
	}
	c.known[key] = "qemu-riscv64 " + version
	return c.known[key], nil
}
