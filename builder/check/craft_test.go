package check

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
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

// image lays out: file header, program headers, contents, section headers. One
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

// item is one entry of a layer under construction.
type item struct {
	name string
	mode int64
	body []byte
	link string // of a symbolic link
	hard string // of a hard link
	dir  bool
	caps bool
}

func file(name string, mode int64, body string) item {
	return item{name: name, mode: mode, body: []byte(body)}
}
func binFile(name string, f binaryFile) item { return item{name: name, mode: 0o755, body: f.bytes()} }
func symlink(name, target string) item       { return item{name: name, mode: 0o777, link: target} }
func dir(name string, mode int64) item       { return item{name: name, mode: mode, dir: true} }

func layerTar(t *testing.T, items ...item) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, it := range items {
		h := &tar.Header{Name: strings.TrimPrefix(it.name, "/"), Mode: it.mode, Typeflag: tar.TypeReg, Size: int64(len(it.body))}
		switch {
		case it.dir:
			h.Typeflag = tar.TypeDir
		case it.link != "":
			h.Typeflag, h.Linkname = tar.TypeSymlink, it.link
		case it.hard != "":
			h.Typeflag, h.Linkname = tar.TypeLink, strings.TrimPrefix(it.hard, "/")
		}
		if it.caps {
			h.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": "x"}
		}
		must(t, w.WriteHeader(h))
		_, err := w.Write(it.body)
		must(t, err)
	}
	must(t, w.Close())
	return buf.Bytes()
}

func gzipped(t *testing.T, raw []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	_, err := w.Write(raw)
	must(t, err)
	must(t, w.Close())
	return buf.Bytes()
}

func zstded(t *testing.T, raw []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	must(t, err)
	return w.EncodeAll(raw, nil)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// crafted is an image under construction.
type crafted struct {
	config ocispec.Image
	layers [][]byte // as stored; DiffIDs are filled in
}

func newImage(entrypoint ...string) *crafted {
	c := &crafted{}
	c.config.OS, c.config.Architecture = "linux", "riscv64"
	c.config.Config.Entrypoint = entrypoint
	return c
}

func (c *crafted) layer(t *testing.T, items ...item) *crafted {
	t.Helper()
	return c.raw(layerTar(t, items...), nil)
}

func (c *crafted) raw(plain, stored []byte) *crafted {
	if stored == nil {
		stored = plain
	}
	c.layers = append(c.layers, stored)
	c.config.RootFS.DiffIDs = append(c.config.RootFS.DiffIDs, digest.FromBytes(plain))
	return c
}

func newStore(t *testing.T) content.Store {
	t.Helper()
	store, err := local.NewStore(t.TempDir())
	must(t, err)
	return store
}

func (c *crafted) store(t *testing.T, store content.Store) ocispec.Descriptor {
	t.Helper()
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	raw, err := json.Marshal(c.config)
	must(t, err)
	m.Config = put(t, store, ocispec.MediaTypeImageConfig, raw)
	for _, l := range c.layers {
		m.Layers = append(m.Layers, put(t, store, ocispec.MediaTypeImageLayer, l))
	}
	raw, err = json.Marshal(m)
	must(t, err)
	return put(t, store, ocispec.MediaTypeImageManifest, raw)
}

func put(t *testing.T, store content.Store, mediaType string, raw []byte) ocispec.Descriptor {
	t.Helper()
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	must(t, content.WriteBlob(context.Background(), store, desc.Digest.String(), bytes.NewReader(raw), desc))
	return desc
}

// base is a small root filesystem with merged /usr, a loader and a libc.
func base() []item {
	libc := shared("libc.so.6", "ld-linux-riscv64-lp64d.so.1")
	libc.has = []string{"libc.so.6", "GLIBC_2.27", "GLIBC_2.34"}
	ld := shared("ld-linux-riscv64-lp64d.so.1")
	return []item{
		dir("usr", 0o755), dir("usr/bin", 0o755), dir("usr/lib", 0o755), dir(libDir, 0o755), dir("tmp", 0o1777),
		symlink("bin", "usr/bin"), symlink("lib", "usr/lib"),
		binFile("usr/lib/ld-linux-riscv64-lp64d.so.1", ld), binFile(libDir+"/libc.so.6", libc),
		symlink(libDir+"/ld-linux-riscv64-lp64d.so.1", "../ld-linux-riscv64-lp64d.so.1"),
		binFile("usr/bin/sh", program("libc.so.6")),
	}
}

// mapCache is a Cache that counts what it is asked.
type mapCache struct {
	values map[string][]byte
	hits   int
}

func newCache() *mapCache { return &mapCache{values: map[string][]byte{}} }

func (c *mapCache) Get(key string) ([]byte, bool) {
	v, ok := c.values[key]
	if ok {
		c.hits++
	}
	return v, ok
}

func (c *mapCache) Put(key string, value []byte) { c.values[key] = value }

func scanBytes(t *testing.T, raw []byte) *LayerFacts {
	t.Helper()
	facts, err := ScanLayer(context.Background(), io.Reader(bytes.NewReader(raw)))
	must(t, err)
	return facts
}
