package engineimage

import (
	"context"
	"debug/buildinfo"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// mainPackage is how a build of this program is known.
const mainPackage = "github.com/riscv-build/riscv-build/cmd/riscv-build"

// machines are the ELF machines of the architectures.
var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "riscv64": elf.EM_RISCV}

// Program is this program for Linux on one architecture.
type Program struct {
	Arch   string
	Path   string
	Digest digest.Digest
	Size   int64
}

var _ content.Provider = Program{}

// ReaderAt opens the program, whatever the descriptor says.
func (p Program) ReaderAt(context.Context, ocispec.Descriptor) (content.ReaderAt, error) {
	return local.OpenReader(p.Path)
}

// ReleaseName is what the program for an architecture is called where it is
// released, and where `make release` puts it.
func ReleaseName(arch string) string { return "riscv-build-linux-" + arch }

// Find gives the program for an architecture: the file that was named, else the
// running program, if it is for that, else the one of a release beside it.
func Find(arch, named string) (Program, error) {
	if named != "" {
		return Open(arch, named)
	}
	self, err := os.Executable()
	if err != nil {
		return Program{}, fmt.Errorf("looking for the file of this program: %w: name one with --binary %s=FILE", err, arch)
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		return Program{}, fmt.Errorf("looking for the file of this program: %w: name one with --binary %s=FILE", err, arch)
	}
	return find(arch, self, runtime.GOOS+"/"+runtime.GOARCH)
}

func find(arch, self, platform string) (Program, error) {
	if platform == "linux/"+arch {
		return Open(arch, self)
	}
	beside := filepath.Join(filepath.Dir(self), ReleaseName(arch))
	p, err := Open(arch, beside)
	if errors.Is(err, fs.ErrNotExist) {
		return p, &ProgramError{Arch: arch, Platform: platform, Beside: beside}
	}
	return p, err
}

// ProgramError says that the program for an architecture is not at hand.
type ProgramError struct{ Arch, Platform, Beside string }

// Error says where it was looked for, and how to get it.
func (e *ProgramError) Error() string {
	return fmt.Sprintf("looking for riscv-build for linux/%s: this program is for %s, and there is no %q: put the file %s of this release there (in a checkout `make release` writes it into bin/release/), or name one with --binary %s=FILE",
		e.Arch, e.Platform, e.Beside, ReleaseName(e.Arch), e.Arch)
}

// ExitCode is that of a machine that lacks something.
func (e *ProgramError) ExitCode() int { return 3 }

// Open reads which program a file is, and refuses what would not run in the image.
func Open(arch, path string) (Program, error) {
	p := Program{Arch: arch, Path: path}
	if err := p.check(); err != nil {
		return p, fmt.Errorf("reading %q, which is to be riscv-build for linux/%s: %w", path, arch, err)
	}
	f, err := os.Open(path)
	if err != nil {
		return p, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return p, err
	}
	p.Size = fi.Size()
	if p.Digest, err = digest.FromReader(f); err != nil {
		return p, fmt.Errorf("reading %q: %w: copy it again", path, err)
	}
	return p, nil
}

func (p Program) check() error {
	f, err := elf.Open(p.Path)
	var format *elf.FormatError
	if errors.As(err, &format) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it is no program for Linux: take the file " + ReleaseName(p.Arch) + " of a release")
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if f.Machine != machines[p.Arch] || f.Class != elf.ELFCLASS64 {
		return fmt.Errorf("it is for %s: take the file %s of a release", strings.ToLower(strings.TrimPrefix(f.Machine.String(), "EM_")), ReleaseName(p.Arch))
	}
	for _, part := range f.Progs {
		if part.Type == elf.PT_INTERP {
			return errors.New("it needs libraries, which the image does not have: build it with CGO_ENABLED=0")
		}
	}
	info, err := buildinfo.ReadFile(p.Path)
	if err != nil || info.Path != mainPackage {
		return errors.New("it is another program: take the file " + ReleaseName(p.Arch) + " of a release")
	}
	return nil
}
