package check

import (
	"debug/elf"
	"fmt"
	"strings"
	"testing"
)

func contents(t *testing.T, items ...item) *Contents {
	t.Helper()
	store := newStore(t)
	c, err := Load(t.Context(), store, newImage().layer(t, items...).store(t, store), nil)
	must(t, err)
	return c
}

func TestForeign(t *testing.T) {
	amd64 := binFile("bin/busybox", binaryFile{machine: elf.EM_X86_64, kind: elf.ET_EXEC})
	old := binFile("bin/old", binaryFile{machine: elf.EM_386, kind: elf.ET_EXEC})
	bpf := binFile("lib/probe.o", binaryFile{machine: elf.EM_BPF})
	own := binFile("bin/own", program())
	link := item{name: "bin/ls", hard: "bin/busybox"}
	for _, c := range []struct {
		arch  string
		items []item
		want  string
	}{
		{"riscv64", []item{amd64, link, own}, "/bin/busybox amd64"},
		{"riscv64", []item{own, bpf, file("x", 0o755, "#!/bin/sh\n")}, ""},
		{"amd64", []item{amd64, old}, ""},
		{"arm64", []item{own, old}, "/bin/old 386 /bin/own riscv64"},
		{"mips", []item{own}, ""},
		{"riscv64", nil, ""},
	} {
		var got []string
		for _, f := range contents(t, c.items...).Foreign(c.arch) {
			machine, _, _ := strings.Cut(strings.TrimPrefix(f.What, "is an ELF file for "), ",")
			got = append(got, f.Path, machine)
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("%s: got %s, want %s", c.arch, text, c.want)
		}
	}
}

func TestPrograms(t *testing.T) {
	c := contents(t, append(base(),
		binFile("opt/x86", binaryFile{machine: elf.EM_X86_64}), item{name: "a/linked", hard: "usr/bin/sh"},
		file("opt/script", 0o755, "#!/bin/sh\n"))...)
	got := fmt.Sprint(c.Programs())
	if got != "[{/usr/bin/sh riscv64 rv64gc /lib/ld-linux-riscv64-lp64d.so.1 [libc.so.6]} {/opt/x86 amd64   []}]" {
		t.Errorf("got %s", got)
	}
	if got := fmt.Sprint(c.Machines()); got != "map[amd64:1 riscv64:3]" {
		t.Errorf("got %s", got)
	}
}
