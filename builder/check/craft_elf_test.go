package check

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"strings"
)

// gc is what gcc writes into .riscv.attributes for rv64gc.
const gc = "rv64i2p1_m2p0_a2p1_f2p2_d2p2_c2p0_zicsr2p0_zifencei2p0_zmmul1p0_zaamo1p0_zalrsc1p0"

const (
	glibcLoader = "/lib/ld-linux-riscv64-lp64d.so.1"
	libDir      = "/usr/lib/riscv64-linux-gnu"
)

// binaryFile describes an ELF file to be written byte by byte: no compiler is needed.
type binaryFile struct {
	machine    elf.Machine // default EM_RISCV
	kind       elf.Type    // default ET_DYN
	flags      uint32
	arch       string // .riscv.attributes; "" leaves them out
	interp     string
	soname     string
	needed     []string
	rpath      string
	runpath    string
	wants      []VersionNeed
	has        []string
	noSections bool // as after sstrip
	buildInfo  []byte
	debugOnly  bool
}

func program(needed ...string) binaryFile {
	return binaryFile{flags: 5, arch: gc, interp: glibcLoader, needed: needed}
}

func shared(soname string, needed ...string) binaryFile {
	return binaryFile{flags: 5, arch: gc, soname: soname, needed: needed}
}

// imageBytes lays out: file header, program headers, contents, section headers. One
// PT_LOAD maps all of it at address 0, so addresses are offsets.
type imageBytes struct {
	bytes.Buffer
	strings bytes.Buffer
}

func (b *imageBytes) le(values ...any) {
	for _, v := range values {
		_ = binary.Write(&b.Buffer, binary.LittleEndian, v)
	}
}

func (b *imageBytes) place(content []byte) (off, size uint64) {
	for b.Len()%16 != 0 {
		b.WriteByte(0)
	}
	off = uint64(b.Len())
	b.Write(content)
	return off, uint64(len(content))
}

func (b *imageBytes) str(s string) uint32 {
	off := b.strings.Len()
	b.strings.WriteString(s + "\x00")
	return uint32(off)
}

func (f binaryFile) bytes() []byte {
	if f.machine == 0 {
		f.machine = elf.EM_RISCV
	}
	if f.kind == 0 {
		f.kind = elf.ET_DYN
	}
	const headers = 64 + 5*56
	b := &imageBytes{}
	b.Write(make([]byte, headers))
	b.str("")
	var progs [][3]uint64 // type, offset, size
	sections := []section{{}}
	if f.interp != "" {
		off, size := b.place([]byte(f.interp + "\x00"))
		progs = append(progs, [3]uint64{uint64(elf.PT_INTERP), off, size})
	}
	if off, size := f.dynamic(b); size > 0 {
		progs = append(progs, [3]uint64{uint64(elf.PT_DYNAMIC), off, size})
	}
	if f.arch != "" {
		off, size := b.place(attributes(f.arch))
		progs = append(progs, [3]uint64{ptAttributes, off, size})
		sections = append(sections, section{".riscv.attributes", shtAttributes, off, size})
	}
	if f.buildInfo != nil {
		off, size := b.place(f.buildInfo)
		sections = append(sections, section{".go.buildinfo", uint32(elf.SHT_PROGBITS), off, size})
	}
	if f.debugOnly {
		sections = append(sections, section{".text", uint32(elf.SHT_NOBITS), 0, 4096})
	}
	var shoff, shnum uint64
	if !f.noSections {
		shoff, shnum = b.sections(sections)
	}
	progs = append(progs, [3]uint64{uint64(elf.PT_LOAD), 0, uint64(b.Len())})
	return f.finish(b, progs, [2]uint64{shoff, shnum})
}

type section struct {
	name      string
	kind      uint32
	off, size uint64
}

func (b *imageBytes) sections(sections []section) (off, count uint64) {
	names := []byte{0}
	offsets := []uint32{}
	sections = append(sections, section{name: ".shstrtab", kind: uint32(elf.SHT_STRTAB)})
	for _, s := range sections {
		offsets = append(offsets, uint32(len(names)))
		names = append(names, s.name+"\x00"...)
	}
	last := &sections[len(sections)-1]
	last.off, last.size = b.place(names)
	off, _ = b.place(nil)
	for i, s := range sections {
		flags := uint64(elf.SHF_ALLOC)
		b.le(offsets[i], s.kind, flags, s.off, s.off, s.size, uint32(0), uint32(0), uint64(1), uint64(0))
	}
	return off, uint64(len(sections))
}

func (f binaryFile) finish(b *imageBytes, progs [][3]uint64, sh [2]uint64) []byte {
	h := &imageBytes{}
	h.WriteString("\x7fELF\x02\x01\x01")
	h.Write(make([]byte, 9))
	shstrndx := uint16(max(int(sh[1])-1, 0))
	h.le(uint16(f.kind), uint16(f.machine), uint32(1), uint64(0), uint64(64), sh[0], f.flags,
		uint16(64), uint16(56), uint16(len(progs)), uint16(64), uint16(sh[1]), shstrndx)
	for _, p := range progs {
		h.le(uint32(p[0]), uint32(4), p[1], p[1], p[1], p[2], p[2], uint64(8))
	}
	out := b.Bytes()
	copy(out, h.Bytes())
	return out
}

func (f binaryFile) dynamic(b *imageBytes) (off, size uint64) {
	if f.soname == "" && len(f.needed) == 0 && f.interp == "" {
		return 0, 0
	}
	var tags []uint64
	add := func(tag elf.DynTag, value uint64) { tags = append(tags, uint64(tag), value) }
	for _, n := range f.needed {
		add(elf.DT_NEEDED, uint64(b.str(n)))
	}
	for tag, text := range map[elf.DynTag]string{elf.DT_SONAME: f.soname, elf.DT_RPATH: f.rpath, elf.DT_RUNPATH: f.runpath} {
		if text != "" {
			add(tag, uint64(b.str(text)))
		}
	}
	if len(f.wants) > 0 {
		at, _ := b.place(verneed(b, f.wants))
		add(elf.DT_VERNEED, at)
		add(elf.DT_VERNEEDNUM, uint64(len(f.wants)))
	}
	if len(f.has) > 0 {
		at, _ := b.place(verdef(b, f.has))
		add(elf.DT_VERDEF, at)
		add(elf.DT_VERDEFNUM, uint64(len(f.has)))
	}
	at, n := b.place(b.strings.Bytes())
	add(elf.DT_STRTAB, at)
	add(elf.DT_STRSZ, n)
	add(elf.DT_NULL, 0)
	var raw bytes.Buffer
	_ = binary.Write(&raw, binary.LittleEndian, tags)
	return b.place(raw.Bytes())
}

func verneed(b *imageBytes, wants []VersionNeed) []byte {
	out := &imageBytes{}
	for i, w := range wants {
		next := uint32(16 + 16*len(w.Versions))
		if i == len(wants)-1 {
			next = 0
		}
		out.le(uint16(1), uint16(len(w.Versions)), b.str(w.File), uint32(16), next)
		for k, v := range w.Versions {
			next := uint32(16)
			if k == len(w.Versions)-1 {
				next = 0
			}
			name, weak := strings.CutPrefix(v, "weak ")
			flags := uint16(0)
			if weak {
				flags = verFlagWeak
			}
			out.le(uint32(0), flags, uint16(2+k), b.str(name), next)
		}
	}
	return out.Bytes()
}

func verdef(b *imageBytes, has []string) []byte {
	out := &imageBytes{}
	for i, name := range has {
		next := uint32(28)
		if i == len(has)-1 {
			next = 0
		}
		out.le(uint16(1), uint16(0), uint16(i+1), uint16(1), uint32(0), uint32(20), next, b.str(name), uint32(0))
	}
	return out.Bytes()
}

func attributes(arch string) []byte {
	body := append([]byte{4, 16, 5}, arch+"\x00"...) // stack alignment, then the ISA
	out := &imageBytes{}
	out.WriteByte('A')
	out.le(uint32(4 + len("riscv\x00") + 5 + len(body)))
	out.WriteString("riscv\x00")
	out.WriteByte(1)
	out.le(uint32(5 + len(body)))
	out.Write(body)
	return out.Bytes()
}
