package check

import (
	"bytes"
	"encoding/binary"
	"path"
	"slices"
	"strings"
)

// loader finds libraries as the dynamic loader of the image does: glibc's
// (ld.so(8)) or musl's (ldso/dynlink.c).
type loader struct {
	tree     *Tree
	cache    map[string]string // soname to path, of /etc/ld.so.cache
	confDirs []string          // of /etc/ld.so.conf, which only ldconfig reads
	muslDirs []string

	libraries map[string]string // every library by its base name, made by elsewhere
}

// Where Debian's glibc looks last, and musl without a path file.
var (
	glibcDirs = []string{"/lib/riscv64-linux-gnu", "/usr/lib/riscv64-linux-gnu", "/lib", "/usr/lib"}
	muslDirs  = []string{"/lib", "/usr/local/lib", "/usr/lib"}
)

// muslOwn are the libraries that musl's loader is itself.
const muslOwn = " libc.so libpthread.so librt.so libm.so libdl.so libutil.so libxnet.so libc.musl-riscv64.so.1 "

// object is one file mapped into a process.
type object struct {
	path   string
	file   *File
	parent *object
	needs  []need
}

// need is one DT_NEEDED of an object and what was found for it.
type need struct {
	soname string
	by     *object // nil: not found
	own    bool    // the loader itself
}

func newLoader(t *Tree) *loader {
	l := &loader{tree: t, cache: map[string]string{}, muslDirs: muslDirs}
	if f, ok := t.Stat("/etc/ld.so.cache"); ok {
		l.cache = parseLdCache(f.Content)
	}
	l.readConf("/etc/ld.so.conf", 0)
	if f, ok := t.Stat("/etc/ld-musl-riscv64.path"); ok && len(f.Content) > 0 {
		l.muslDirs = strings.FieldsFunc(string(f.Content), func(r rune) bool { return r == ':' || r == '\n' })
	}
	return l
}

func (l *loader) readConf(p string, depth int) {
	f, ok := l.tree.Stat(p)
	if !ok || depth > 4 {
		return
	}
	for line := range strings.Lines(string(f.Content)) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0:
		case fields[0] == "include":
			for _, pattern := range fields[1:] {
				for _, name := range l.glob(path.Join(path.Dir(p), pattern), pattern) {
					l.readConf(name, depth+1)
				}
			}
		case path.IsAbs(fields[0]):
			l.confDirs = append(l.confDirs, fields[0])
		}
	}
}

// glob matches the last component, which is all that ld.so.conf uses.
func (l *loader) glob(joined, written string) []string {
	if path.IsAbs(written) {
		joined = written
	}
	real, ok := l.tree.Resolve(path.Dir(joined))
	if !ok {
		return nil
	}
	var names []string
	for name := range l.tree.at(real).children {
		if match, err := path.Match(path.Base(joined), name); err == nil && match {
			names = append(names, path.Join(real, name))
		}
	}
	slices.Sort(names)
	return names
}

// parseLdCache reads the format that glibc has written since 2.32, and the old
// one before it in the same file. What is not understood is an empty cache.
func parseLdCache(raw []byte) map[string]string {
	const magic, headerSize, entrySize = "glibc-ld.so.cache1.1", 48, 24
	found := map[string]string{}
	if i := bytes.Index(raw, []byte(magic)); i >= 0 {
		raw = raw[i:]
	}
	if len(raw) < headerSize || !bytes.HasPrefix(raw, []byte(magic)) {
		return found
	}
	text := func(off uint32) string {
		if uint64(off) >= uint64(len(raw)) {
			return ""
		}
		return cString(raw[off:])
	}
	count := binary.LittleEndian.Uint32(raw[20:])
	for at := headerSize; count > 0 && len(raw)-at >= entrySize; count, at = count-1, at+entrySize {
		name := text(binary.LittleEndian.Uint32(raw[at+4:]))
		if _, ok := found[name]; !ok {
			found[name] = text(binary.LittleEndian.Uint32(raw[at+8:]))
		}
	}
	return found
}

// load maps a program or library and, breadth first, all that it needs. The
// first object returned is the file itself.
func (l *loader) load(p string, f *File) []*object {
	root := &object{path: p, file: f}
	musl := l.isMusl(f.ELF)
	all := []*object{root}
	names := map[string]*object{f.ELF.Soname: root}
	byFile := map[*File]*object{f: root}
	for i := 0; i < len(all); i++ {
		obj := all[i]
		for _, soname := range obj.file.ELF.Needed {
			n := need{soname: soname, by: names[soname]}
			n.own = musl && strings.Contains(muslOwn, " "+soname+" ")
			if n.by == nil && !n.own {
				if at, file := l.find(obj, soname, musl); file != nil {
					n.by = byFile[file]
					if n.by == nil {
						n.by = &object{path: at, file: file, parent: obj}
						byFile[file] = n.by
						all = append(all, n.by)
					}
					names[soname] = n.by
					if own := file.ELF.Soname; own != "" && names[own] == nil {
						names[own] = n.by
					}
				}
			}
			obj.needs = append(obj.needs, n)
		}
	}
	return all
}

// isMusl says which loader a program runs under; a library runs under that
// which the image has.
func (l *loader) isMusl(e *ELF) bool {
	if e.Interp != "" {
		return strings.HasPrefix(path.Base(e.Interp), "ld-musl-")
	}
	_, musl := l.tree.Stat("/lib/ld-musl-riscv64.so.1")
	_, glibc := l.tree.Stat("/lib/ld-linux-riscv64-lp64d.so.1")
	return musl && !glibc
}

func (l *loader) find(obj *object, soname string, musl bool) (string, *File) {
	if strings.Contains(soname, "/") {
		return l.try(expand(soname, obj))
	}
	for _, dir := range runDirs(obj, musl) {
		if at, f := l.try(dir + "/" + soname); f != nil {
			return at, f
		}
	}
	if !musl {
		if at, ok := l.cache[soname]; ok {
			if at, f := l.try(at); f != nil {
				return at, f
			}
		}
	}
	dirs := glibcDirs
	if musl {
		dirs = l.muslDirs
	}
	for _, dir := range dirs {
		if at, f := l.try(dir + "/" + soname); f != nil {
			return at, f
		}
	}
	return "", nil
}

// runDirs are the directories that the object names itself. DT_RPATH of those
// that loaded it counts too, unless it has DT_RUNPATH; with musl both count.
func runDirs(obj *object, musl bool) []string {
	var dirs []string
	if musl || len(obj.file.ELF.Runpath) == 0 {
		for o := obj; o != nil; o = o.parent {
			if musl && len(o.file.ELF.Runpath) > 0 {
				dirs = append(dirs, expandAll(o.file.ELF.Runpath, o)...)
			} else if len(o.file.ELF.Runpath) == 0 {
				dirs = append(dirs, expandAll(o.file.ELF.Rpath, o)...)
			}
		}
		if musl {
			return dirs
		}
	}
	return append(dirs, expandAll(obj.file.ELF.Runpath, obj)...)
}

func expandAll(dirs []string, obj *object) []string {
	var out []string
	for _, dir := range dirs {
		if dir = expand(dir, obj); path.IsAbs(dir) { // a relative one depends on where the user stands
			out = append(out, dir)
		}
	}
	return out
}

func expand(text string, obj *object) string {
	origin := path.Dir(obj.path)
	return strings.NewReplacer("$ORIGIN", origin, "${ORIGIN}", origin,
		"$LIB", "lib/riscv64-linux-gnu", "${LIB}", "lib/riscv64-linux-gnu").Replace(text)
}

// try returns the library at a path, which may hold ".." after links, and the
// path with its directory resolved: that is $ORIGIN. A file of another machine
// is passed over, as the loader does.
func (l *loader) try(p string) (string, *File) {
	f, ok := l.tree.Stat(p)
	if !ok || f.ELF == nil || !f.ELF.loadable() {
		return "", nil
	}
	i := strings.LastIndexByte(p, '/')
	dir, _ := l.tree.Resolve(p[:max(i, 0)])
	return path.Join(dir, p[i+1:]), f
}

// elsewhere returns a path where the image has the library although no loader
// looks there, "" if it has none.
func (l *loader) elsewhere(soname string) string {
	if l.libraries == nil {
		l.libraries = map[string]string{}
		l.tree.Walk(func(p string, f *File) {
			base := path.Base(p)
			if f.Type == TypeDir || !strings.Contains(base, ".so") || l.libraries[base] != "" {
				return
			}
			if at, _ := l.try(p); at != "" {
				l.libraries[base] = p
			}
		})
	}
	return l.libraries[path.Base(soname)]
}

// inConf says whether a directory is one of /etc/ld.so.conf.
func (l *loader) inConf(dir string) bool {
	real, _ := l.tree.Resolve(dir)
	return slices.ContainsFunc(l.confDirs, func(conf string) bool {
		at, ok := l.tree.Resolve(conf)
		return ok && at == real
	})
}
