package check

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

// verFlagWeak marks a version whose absence a loader forgives.
const verFlagWeak = 0x2

// dynamic reads what a loader reads: by PT_DYNAMIC and addresses, not by
// sections, which a program does not need in order to run.
type dynamic struct {
	file    *elf.File
	values  map[elf.DynTag]uint64
	needed  []uint64 // offsets into strings
	strings []byte
}

func readDynamic(f *elf.File, e *ELF) error {
	var seg *elf.Prog
	for _, p := range f.Progs {
		if p.Type == elf.PT_DYNAMIC {
			seg = p
		}
	}
	if seg == nil || seg.Filesz == 0 {
		return nil
	}
	d := dynamic{file: f, values: map[elf.DynTag]uint64{}}
	if err := d.entries(seg); err != nil {
		return err
	}
	if err := d.loadStrings(); err != nil {
		return err
	}
	for _, off := range d.needed {
		e.Needed = append(e.Needed, d.text(off))
	}
	if off, ok := d.values[elf.DT_SONAME]; ok {
		e.Soname = d.text(off)
	}
	e.Rpath = d.list(elf.DT_RPATH)
	e.Runpath = d.list(elf.DT_RUNPATH)
	var err error
	if e.Wants, err = d.versionsWanted(); err != nil {
		return err
	}
	e.Has, err = d.versionsDefined()
	return err
}

func (d *dynamic) entries(seg *elf.Prog) error {
	raw, err := io.ReadAll(io.LimitReader(seg.Open(), 1<<20))
	if err != nil {
		return err
	}
	for ; len(raw) >= 16; raw = raw[16:] {
		tag := elf.DynTag(binary.LittleEndian.Uint64(raw))
		value := binary.LittleEndian.Uint64(raw[8:])
		switch tag {
		case elf.DT_NULL:
			return nil
		case elf.DT_NEEDED:
			d.needed = append(d.needed, value)
		default:
			d.values[tag] = value
		}
	}
	return nil
}

func (d *dynamic) loadStrings() error {
	addr, size := d.values[elf.DT_STRTAB], d.values[elf.DT_STRSZ]
	if size == 0 {
		return nil
	}
	if size > maxTable {
		return fmt.Errorf("a string table of %d bytes", size)
	}
	var err error
	d.strings, err = d.at(addr, size)
	return err
}

// at reads size bytes at a virtual address of the file.
func (d *dynamic) at(addr, size uint64) ([]byte, error) {
	for _, p := range d.file.Progs {
		if p.Type != elf.PT_LOAD || addr < p.Vaddr || addr-p.Vaddr > p.Filesz || size > p.Filesz-(addr-p.Vaddr) {
			continue
		}
		buf := make([]byte, size)
		if _, err := p.ReadAt(buf, int64(addr-p.Vaddr)); err != nil {
			return nil, err
		}
		return buf, nil
	}
	return nil, fmt.Errorf("address %#x is in no segment", addr)
}

func (d *dynamic) text(off uint64) string {
	if off >= uint64(len(d.strings)) {
		return ""
	}
	return cString(d.strings[off:])
}

func (d *dynamic) list(tag elf.DynTag) []string {
	off, ok := d.values[tag]
	if !ok {
		return nil
	}
	text := d.text(off)
	if text == "" {
		return nil
	}
	return strings.Split(text, ":")
}

// versionsWanted reads DT_VERNEED (System V gABI supplement "Symbol Versioning").
func (d *dynamic) versionsWanted() ([]VersionNeed, error) {
	addr, count := d.values[elf.DT_VERNEED], d.values[elf.DT_VERNEEDNUM]
	var needs []VersionNeed
	for ; count > 0; count-- {
		rec, err := d.at(addr, 16)
		if err != nil {
			return nil, err
		}
		need := VersionNeed{File: d.text(uint64(binary.LittleEndian.Uint32(rec[4:])))}
		aux := addr + uint64(binary.LittleEndian.Uint32(rec[8:]))
		for n := binary.LittleEndian.Uint16(rec[2:]); n > 0; n-- {
			rec, err := d.at(aux, 16)
			if err != nil {
				return nil, err
			}
			if binary.LittleEndian.Uint16(rec[4:])&verFlagWeak == 0 {
				need.Versions = append(need.Versions, d.text(uint64(binary.LittleEndian.Uint32(rec[8:]))))
			}
			next := uint64(binary.LittleEndian.Uint32(rec[12:]))
			if next == 0 {
				break
			}
			aux += next
		}
		needs = append(needs, need)
		next := uint64(binary.LittleEndian.Uint32(rec[12:]))
		if next == 0 {
			break
		}
		addr += next
	}
	return needs, nil
}

// versionsDefined reads DT_VERDEF.
func (d *dynamic) versionsDefined() ([]string, error) {
	addr, count := d.values[elf.DT_VERDEF], d.values[elf.DT_VERDEFNUM]
	var names []string
	for ; count > 0; count-- {
		rec, err := d.at(addr, 20)
		if err != nil {
			return nil, err
		}
		aux, err := d.at(addr+uint64(binary.LittleEndian.Uint32(rec[12:])), 8)
		if err != nil {
			return nil, err
		}
		names = append(names, d.text(uint64(binary.LittleEndian.Uint32(aux))))
		next := uint64(binary.LittleEndian.Uint32(rec[16:]))
		if next == 0 {
			break
		}
		addr += next
	}
	return names, nil
}
