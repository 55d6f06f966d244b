package check

import (
	"debug/elf"
	"fmt"
	"path"
	"slices"
	"strings"
)

// elf looks at one ELF file, or archive of them, by itself.
func (j *judge) elf(p string, f *File) {
	e := f.ELF
	switch {
	case e.Machine == 0 && e.Broken != "", e.Broken != "" && e.riscvMachine():
		j.bad(p, "elf", "is a damaged ELF file: "+e.Broken, "build it again, or leave it out with image.exclude")
		return
	case elf.Machine(e.Machine) == elf.EM_BPF:
		return // runs in the kernel's own machine, on every architecture
	case !e.riscv64():
		j.foreign(p, e)
		return
	case !e.loadable():
		return // objects and debug information are not run; their machine is what counts
	}
	j.elves = append(j.elves, located{p, f})
	j.isa(p, e)
	j.flags(p, e)
}

func (e *ELF) riscvMachine() bool { return elf.Machine(e.Machine) == elf.EM_RISCV }

func (j *judge) foreign(p string, e *ELF) {
	machine := e.machineName()
	if j.allowed(p, func(a *allow) bool { return slices.Contains(a.names, machine) }) {
		return
	}
	what := "is an ELF file for " + machine
	if e.Member != "" {
		what = fmt.Sprintf("holds an ELF file for %s (%s)", machine, e.Member)
	}
	j.bad(p, "machine", what+", the image is for riscv64", "build it for riscv64, or take it from a riscv64 package")
}

// isa compares what the file says of its instructions with the profile.
func (j *judge) isa(p string, e *ELF) {
	if e.Arch == "" && e.GoISA == "" {
		j.note(p, "no-isa", "does not say which instructions it uses (no .riscv.attributes)", "")
		return
	}
	if e.Arch != "" {
		set, err := parseISA(e.Arch)
		if err != nil {
			j.bad(p, "isa", fmt.Sprintf("has an ISA that makes no sense: %q", e.Arch), "build it again with -march=rv64gc")
			return
		}
		j.report.ISA = append(j.report.ISA, set.String())
		j.within(p, "isa", set, [2]string{"is built for " + set.String(),
			"build it with -march=" + j.march() + ", or add a check.allow if it chooses at run time"})
	}
	if e.GoISA != "" {
		set, err := parseISA(e.GoISA)
		if err != nil {
			j.bad(p, "goriscv64", fmt.Sprintf("was built by %s with the unknown GORISCV64=%s", e.Go, e.GoISA), "build it with GORISCV64=rva20u64")
			return
		}
		j.report.ISA = append(j.report.ISA, e.GoISA)
		j.within(p, "goriscv64", set, [2]string{fmt.Sprintf("was built by %s with GORISCV64=%s", e.Go, e.GoISA), "build it with GORISCV64=rva20u64"})
	}
}

// march is the profile as a compiler takes it.
func (j *judge) march() string { return strings.ToLower(j.opt.Profile) }

// within refuses a set of extensions beyond the profile; say is what the file
// does and what its maker can do about it.
func (j *judge) within(p, rule string, set isa, say [2]string) {
	more := set.beyond(j.profile)
	if len(more) == 0 {
		return
	}
	if j.allowed(p, func(a *allow) bool { return len(set.beyond(j.profile.with(a.isa))) == 0 }) {
		return
	}
	j.bad(p, rule, fmt.Sprintf("%s; %s has no %s", say[0], j.opt.Profile, strings.Join(more, ", ")), say[1])
}

// flags checks e_flags, which the kernel and the loader go by, against the
// profile (RISC-V ELF psABI, "File header").
func (j *judge) flags(p string, e *ELF) {
	abi := map[uint32]string{0: "soft", 2: "single", 4: "double", 6: "quad"}
	want := uint32(0)
	switch {
	case j.profile["q"]:
		want = 6
	case j.profile["d"]:
		want = 4
	case j.profile["f"]:
		want = 2
	}
	// A profile with q runs the double ABI too, which is what there is.
	if got := e.Flags & flagFloatMask; got != want && !(want == 6 && got == 4) {
		j.bad(p, "float-abi", fmt.Sprintf("uses the %s-float ABI, the image's libraries the %s-float ABI", abi[got], abi[want]),
			"build it with -mabi=lp64d")
	}
	if e.Flags&flagRVE != 0 {
		j.bad(p, "float-abi", "uses the ABI for 16 registers (RVE)", "build it with -mabi=lp64d")
	}
	if e.Flags&flagRVC != 0 && !j.profile["c"] && !j.profile["zca"] {
		j.within(p, "isa", isa{"c": true}, [2]string{"has compressed instructions", "build it with -march=" + j.march()})
	}
	if e.Flags&flagTSO != 0 {
		j.within(p, "isa", isa{"ztso": true}, [2]string{"relies on total store ordering", "build it with -march=" + j.march()})
	}
}

// closure loads every program, and then every library that no program loads
// (plugins), as the dynamic loader would.
func (j *judge) closure() {
	l := newLoader(j.tree)
	said := map[string]bool{}
	loaded := map[*File]bool{}
	run := func(at located) {
		for _, obj := range l.load(at.path, at.file) {
			loaded[obj.file] = true
			m := mapped{object: obj, program: at.file.ELF.Interp != ""}
			if obj.file != at.file {
				m.suffix = " (loaded by " + at.path + ")"
			}
			j.object(l, m, said)
		}
	}
	for _, at := range j.elves {
		if at.file.ELF.Interp != "" {
			j.interp(at.path, at.file.ELF.Interp)
			run(at)
		}
	}
	for _, at := range j.elves {
		if at.file.ELF.Interp == "" && !loaded[at.file] {
			run(at)
		}
	}
}

// mapped is an object and what loads it.
type mapped struct {
	*object
	program bool   // a program, else it is loaded as a plugin
	suffix  string // names the loading file
}

func (j *judge) interp(p, interp string) {
	f, ok := j.tree.Stat(interp)
	switch {
	case !ok:
		j.bad(p, "interpreter", fmt.Sprintf("is loaded by %q, which the image does not have", interp),
			"add the package that holds it (libc6) to image.packages, or link the program statically")
	case f.ELF == nil || !f.ELF.loadable():
		j.bad(p, "interpreter", fmt.Sprintf("is loaded by %q, which is no riscv64 program", interp),
			"put the loader of the riscv64 libc6 there")
	}
}

// object reports what one loaded file misses. Each is said once, with the first
// program that loads it.
func (j *judge) object(l *loader, obj mapped, said map[string]bool) {
	at := j.realPath(obj.path)
	for _, n := range obj.needs {
		key := at + "\x00" + n.soname
		if n.by != nil || n.own || said[key] {
			continue
		}
		said[key] = true
		if !j.allowed(at, func(a *allow) bool { return matchesAny(a.Missing, n.soname) }) {
			j.library(l, at, n.soname, obj)
		}
	}
	if !l.isMusl(obj.file.ELF) { // musl's loader does not look at versions
		j.versions(at, obj, said)
	}
}

func (j *judge) versions(at string, obj mapped, said map[string]bool) {
	for _, want := range obj.file.ELF.Wants {
		i := slices.IndexFunc(obj.needs, func(n need) bool { return n.soname == want.File })
		if i < 0 || obj.needs[i].by == nil {
			continue // the missing library has been reported
		}
		provider := obj.needs[i].by
		for _, version := range want.Versions {
			key := at + "\x00" + want.File + "\x00" + version
			if said[key] || slices.Contains(provider.file.ELF.Has, version) {
				continue
			}
			said[key] = true
			j.bad(at, "symbol-version", fmt.Sprintf("wants the symbols %s of %q%s, which %s does not have", version, want.File, obj.suffix, provider.path),
				"build it with the libraries that the image has, or take the newer library's package")
		}
	}
}

// library reports a library that is not found.
func (j *judge) library(l *loader, p, soname string, obj mapped) {
	at := l.elsewhere(soname)
	what := fmt.Sprintf("needs %q%s, which ", soname, obj.suffix)
	do := "install the library in /usr/lib/riscv64-linux-gnu, or link with -Wl,-rpath," + path.Dir(at)
	switch {
	case at == "":
		j.bad(p, "library", what+"the image does not have", "add the package that holds it to image.packages, or build without it")
	case !obj.program:
		// A plugin is given what its program has loaded before, from wherever
		// that was (the Java runtime is made so): nothing here says it is wrong.
		j.note(p, "library", what+"is at "+at+": it works in programs that have loaded that before", "")
	case l.inConf(path.Dir(at)):
		j.bad(p, "library", what+"is at "+at+": the loader looks there through /etc/ld.so.cache only, and that does not list it", do)
	default:
		j.bad(p, "library", what+"is at "+at+", where the loader does not look", do)
	}
}

func (j *judge) realPath(p string) string {
	if real, ok := j.tree.Resolve(p); ok {
		return real
	}
	return p
}

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		ok, err := path.Match(pattern, name)
		return err == nil && ok
	})
}
