package check

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// ELF numbers that debug/elf does not name (RISC-V ELF psABI, "File header",
// "Program header table", "Section types").
const (
	flagRVC       = 0x1
	flagFloatMask = 0x6
	flagRVE       = 0x8
	flagTSO       = 0x10

	ptAttributes  = 0x70000003
	shtAttributes = 0x70000003

	// maxTable bounds what is read at once on the word of a header.
	maxTable = 16 << 20
)

// headerFacts reads the identification, which is laid out alike for every
// machine. head begins with the ELF magic.
func headerFacts(head []byte) *ELF {
	if len(head) < 20 {
		return &ELF{Broken: "the file ends within its header"}
	}
	e := &ELF{Class: head[4], Data: head[5]}
	var order binary.ByteOrder = binary.LittleEndian
	if e.Data == byte(elf.ELFDATA2MSB) {
		order = binary.BigEndian
	}
	e.Type = order.Uint16(head[16:])
	e.Machine = order.Uint16(head[18:])
	return e
}

func (e *ELF) riscv64() bool {
	return e.Broken == "" && elf.Machine(e.Machine) == elf.EM_RISCV &&
		elf.Class(e.Class) == elf.ELFCLASS64 && elf.Data(e.Data) == elf.ELFDATA2LSB
}

// loadable says whether the kernel or a dynamic loader can map the file:
// an executable or a shared object with its code.
func (e *ELF) loadable() bool {
	t := elf.Type(e.Type)
	return e.riscv64() && !e.Debug && e.Member == "" && (t == elf.ET_EXEC || t == elf.ET_DYN)
}

// machineName is the name by which users know a machine (GOARCH where there is
// one), with width and byte order where they are what is wrong.
func (e *ELF) machineName() string {
	names := map[elf.Machine]string{
		elf.EM_X86_64: "amd64", elf.EM_386: "386", elf.EM_AARCH64: "arm64", elf.EM_ARM: "arm",
		elf.EM_PPC64: "ppc64le", elf.EM_S390: "s390x", elf.EM_LOONGARCH: "loong64",
	}
	m := elf.Machine(e.Machine)
	if m == elf.EM_RISCV {
		name := "riscv64"
		if elf.Class(e.Class) == elf.ELFCLASS32 {
			name = "riscv32"
		}
		if elf.Data(e.Data) == elf.ELFDATA2MSB {
			name += " big endian"
		}
		return name
	}
	if name, ok := names[m]; ok {
		return name
	}
	return strings.ToLower(strings.TrimPrefix(m.String(), "EM_"))
}

// inspect reads a 64-bit little-endian RISC-V file. What cannot be read is
// said in Broken: a damaged file is a finding, not an end of the check.
func inspect(r io.ReaderAt, size int64) *ELF {
	head := make([]byte, 64)
	n, _ := r.ReadAt(head, 0)
	e := headerFacts(head[:n])
	if n == len(head) {
		e.Flags = binary.LittleEndian.Uint32(head[48:])
	}
	f, err := elf.NewFile(io.NewSectionReader(r, 0, size))
	if err != nil {
		e.Broken = "its headers cannot be read: " + err.Error()
		return e
	}
	defer f.Close()
	e.Debug = detachedDebug(f)
	if e.Debug {
		return e
	}
	if e.Arch, err = archAttribute(f); err != nil {
		e.Broken = "its .riscv.attributes cannot be read: " + err.Error()
		return e
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		raw, err := io.ReadAll(io.LimitReader(p.Open(), 4096))
		if err != nil || uint64(len(raw)) != min(p.Filesz, 4096) {
			e.Broken = "the name of its interpreter lies outside of the file"
			return e
		}
		e.Interp = cString(raw)
	}
	if err := readDynamic(f, e); err != nil {
		e.Broken = "its dynamic section cannot be read: " + err.Error()
		return e
	}
	if f.Section(".go.buildinfo") != nil {
		readGo(r, e)
	}
	return e
}

// detachedDebug tells a file made by objcopy --only-keep-debug: it has the
// program headers of the original, which lead nowhere.
func detachedDebug(f *elf.File) bool {
	for _, name := range []string{".text", ".dynamic"} {
		if s := f.Section(name); s != nil && s.Type == elf.SHT_NOBITS && s.Size > 0 {
			return true
		}
	}
	return false
}

func readGo(r io.ReaderAt, e *ELF) {
	info, err := buildinfo.Read(r)
	if err != nil {
		return // linked by something that only looks like Go
	}
	e.Go = info.GoVersion
	e.GoISA = "rva20u64" // what Go generated before it had the setting
	for _, s := range info.Settings {
		if s.Key == "GORISCV64" && s.Value != "" {
			e.GoISA = s.Value
		}
	}
}

// archAttribute finds Tag_RISCV_arch, by the section (objects have no segments)
// or by the segment (a stripped program may have no sections).
func archAttribute(f *elf.File) (string, error) {
	var src io.Reader
	var size uint64
	for _, s := range f.Sections {
		if s.Type == shtAttributes || s.Name == ".riscv.attributes" && s.Type != elf.SHT_NOBITS {
			src, size = s.Open(), s.FileSize
		}
	}
	if src == nil {
		for _, p := range f.Progs {
			if p.Type == ptAttributes {
				src, size = p.Open(), p.Filesz
			}
		}
	}
	if src == nil || size == 0 {
		return "", nil
	}
	raw, err := io.ReadAll(io.LimitReader(src, 1<<20))
	if err != nil {
		return "", err
	}
	return parseAttributes(raw)
}

// parseAttributes reads the value of Tag_RISCV_arch (RISC-V ELF psABI,
// "Attributes"). "" without an error means that it is not recorded.
func parseAttributes(raw []byte) (string, error) {
	const tagFile, tagArch = 1, 5
	if len(raw) == 0 || raw[0] != 'A' {
		return "", fmt.Errorf("unknown format")
	}
	for rest := raw[1:]; len(rest) > 0; {
		section, after, err := sized(rest, 0)
		if err != nil {
			return "", err
		}
		rest = after
		vendor, body, ok := bytes.Cut(section, []byte{0})
		if !ok || string(vendor) != "riscv" {
			continue
		}
		for len(body) > 0 {
			tag, n := binary.Uvarint(body)
			if n <= 0 {
				return "", io.ErrUnexpectedEOF
			}
			attrs, after, err := sized(body, n)
			if err != nil {
				return "", err
			}
			body = after
			if tag != tagFile {
				continue
			}
			if arch, err := findAttribute(attrs, tagArch); arch != "" || err != nil {
				return arch, err
			}
		}
	}
	return "", nil
}

// sized cuts a block whose 32-bit length, which counts the length field and
// the skip bytes before it, stands at skip. It returns the block after its length.
func sized(b []byte, skip int) (block, after []byte, err error) {
	if len(b) < skip+4 {
		return nil, nil, io.ErrUnexpectedEOF
	}
	n := uint64(binary.LittleEndian.Uint32(b[skip:]))
	if n < uint64(skip)+4 || n > uint64(len(b)) {
		return nil, nil, fmt.Errorf("a block of %d bytes where %d are left", n, len(b))
	}
	return b[skip+4 : n], b[n:], nil
}

// findAttribute returns a string attribute. Odd tags hold strings, even tags numbers.
func findAttribute(attrs []byte, want uint64) (string, error) {
	for len(attrs) > 0 {
		tag, n := binary.Uvarint(attrs)
		if n <= 0 {
			return "", io.ErrUnexpectedEOF
		}
		attrs = attrs[n:]
		if tag%2 == 0 {
			_, n := binary.Uvarint(attrs)
			if n <= 0 {
				return "", io.ErrUnexpectedEOF
			}
			attrs = attrs[n:]
			continue
		}
		text, after, ok := bytes.Cut(attrs, []byte{0})
		if !ok {
			return "", io.ErrUnexpectedEOF
		}
		if tag == want {
			return string(text), nil
		}
		attrs = after
	}
	return "", nil
}

// inspectArchive looks at the members of a static library (ar): the first one
// that is not for riscv64, else the first object. nil: it holds no ELF files.
func inspectArchive(r io.Reader) (*ELF, error) {
	if _, err := io.CopyN(io.Discard, r, 8); err != nil {
		return nil, err
	}
	var first *ELF
	header := make([]byte, 60)
	for {
		if _, err := io.ReadFull(r, header); err != nil {
			return first, nil // the end, or too short to be a member
		}
		size, err := strconv.ParseInt(strings.TrimSpace(string(header[48:58])), 10, 64)
		if err != nil || size < 0 {
			return first, nil // not an archive after all
		}
		head := make([]byte, min(size, 20))
		if _, err := io.ReadFull(r, head); err != nil {
			return first, nil
		}
		if bytes.HasPrefix(head, []byte("\x7fELF")) {
			e := headerFacts(head)
			e.Member = strings.TrimRight(strings.TrimSpace(string(header[:16])), "/")
			if e.Member == "" || strings.HasPrefix(e.Member, "/") {
				e.Member = "a member" // its name stands in a table; the machine says enough
			}
			if !e.riscv64() {
				return e, nil
			}
			if first == nil {
				first = e
			}
		}
		if _, err := io.CopyN(io.Discard, r, size-int64(len(head))+size%2); err != nil {
			return first, nil
		}
	}
}

func cString(raw []byte) string {
	text, _, _ := bytes.Cut(raw, []byte{0})
	return string(text)
}
