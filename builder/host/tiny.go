package host

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// TinyStatus is what TinyProgram exits with when it is started with one
// argument, its own name. More tells that an emulator passes arguments on
// that are not the program's.
const TinyStatus = 42

// TinyProgram is a static riscv64 Linux program of four instructions: exit(41 + argc).
func TinyProgram() []byte {
	const (
		address    = 0x10000
		headerSize = 64
		segmentLen = 56
	)
	code := []uint32{
		0x00013503, // ld   a0, 0(sp)    argc
		0x02950513, // addi a0, a0, 41
		0x05d00893, // li   a7, 93       exit
		0x00000073, // ecall
	}
	start := uint64(headerSize + segmentLen)
	total := start + uint64(4*len(code))
	header := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(elf.EM_RISCV), Version: uint32(elf.EV_CURRENT),
		Entry: address + start, Phoff: headerSize,
		Ehsize: headerSize, Phentsize: segmentLen, Phnum: 1,
	}
	segment := elf.Prog64{
		Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X),
		Vaddr: address, Paddr: address, Filesz: total, Memsz: total, Align: 0x1000,
	}
	var b bytes.Buffer
	for _, part := range []any{header, segment, code} {
		b.Write(encode(part))
	}
	return b.Bytes()
}

// encode writes fixed-size values, little endian.
func encode(part any) []byte {
	var b bytes.Buffer
	_ = binary.Write(&b, binary.LittleEndian, part) // a bytes.Buffer takes everything, and the parts have a fixed size
	return b.Bytes()
}

// runTiny runs the tiny program and returns its exit status.
func runTiny(ctx context.Context) (int, error) {
	dir, err := os.MkdirTemp("", "riscv-build-doctor-*")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "exit42")
	if err := os.WriteFile(name, TinyProgram(), dirPermission); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for try := 0; ; try++ {
		err = exec.CommandContext(ctx, name).Run()
		// A process forked elsewhere in this program holds the file open for writing until it execs.
		if !errors.Is(err, syscall.ETXTBSY) || try == 50 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit) && exit.Exited():
		return exit.ExitCode(), nil
	}
	return 0, fmt.Errorf("running a riscv64 program: %w", err)
}
