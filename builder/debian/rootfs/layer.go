package rootfs

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"path"
	"strings"
	"time"
)

// maxLinks bounds how many symbolic links one path may lead through.
const maxLinks = 40

// Ownership and mode of what no package lists.
const (
	dirMode  = 0o755
	fileMode = 0o644
)

// node is what stands at a path of the layer.
type node struct {
	kind  byte   // a tar type flag
	owner *info  // nil: generated
	link  string // target of a symbolic link
	mode  int64
	size  int64
	// assumed: a link of the layer below, or one that is written at the end;
	// paths lead through it, no entry stands for it yet.
	assumed bool
}

// layer writes a tar and knows what it holds. Paths are relative to the root,
// without a leading slash; the root itself is the empty string.
type layer struct {
	tw       *tar.Writer
	nodes    map[string]*node
	left     map[string]tar.Header // directories that were left out, made when something below them stays
	filter   filter
	setuid   map[string]bool
	newest   time.Time // of the packages' entries
	contents []Content
	copyBuf  []byte
}

func newLayer(w io.Writer, spec Spec) (*layer, error) {
	f, err := newFilter(append(defaultExclude(spec.Purpose), spec.Exclude...))
	if err != nil {
		return nil, err
	}
	l := &layer{
		tw: tar.NewWriter(w), nodes: map[string]*node{"": {kind: tar.TypeDir}}, left: map[string]tar.Header{},
		filter: f, setuid: map[string]bool{}, newest: time.Unix(0, 0), copyBuf: make([]byte, 128<<10),
	}
	return l, nil
}

// assume places a symbolic link that paths lead through from now on.
func (l *layer) assume(name, target string) {
	l.nodes[name] = &node{kind: tar.TypeSymlink, link: target, mode: 0o777, assumed: true}
}

// resolve follows the symbolic links of a path's parents, as dpkg does when it
// unpacks; follow also resolves the last component. Links can't lead out of the
// root: ".." there stays there.
func (l *layer) resolve(name string, follow bool) (string, error) {
	todo := strings.Split(name, "/")
	at := ""
	for links := 0; len(todo) > 0; {
		part := todo[0]
		todo = todo[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if at = path.Dir(at); at == "." {
				at = ""
			}
			continue
		}
		next := path.Join(at, part)
		n := l.nodes[next]
		last := len(todo) == 0
		switch {
		case n == nil || n.kind == tar.TypeDir || last && !follow:
			at = next
		case n.kind == tar.TypeSymlink:
			if links++; links > maxLinks {
				return "", fmt.Errorf("%q leads through more than %d symbolic links", "/"+name, maxLinks)
			}
			if path.IsAbs(n.link) {
				at = ""
			}
			todo = append(strings.Split(n.link, "/"), todo...)
		case !last:
			return "", fmt.Errorf("%q is below %q, which is no directory", "/"+name, "/"+next)
		default:
			at = next
		}
	}
	return at, nil
}

// exists finds what a path leads to, through all links.
func (l *layer) exists(name string) *node {
	p, err := l.resolve(strings.TrimPrefix(name, "/"), true)
	if err != nil {
		return nil
	}
	return l.nodes[p]
}

// parents makes the missing directories above a path.
func (l *layer) parents(name string, mtime time.Time) error {
	dir := path.Dir(name)
	if dir == "." || l.nodes[dir] != nil {
		return nil
	}
	if err := l.parents(dir, mtime); err != nil {
		return err
	}
	h, ok := l.left[dir]
	if !ok {
		h = tar.Header{Typeflag: tar.TypeDir, Mode: dirMode, ModTime: mtime}
	}
	h.Name = dir
	return l.put(h, nil, nil)
}

// put writes one entry whose path and hard link target are resolved and free,
// with a normalised header: numeric owners only, whole seconds, PAX where USTAR
// does not suffice.
func (l *layer) put(h tar.Header, owner *info, body io.Reader) error {
	if err := l.parents(h.Name, h.ModTime); err != nil {
		return err
	}
	mode := h.Mode & 0o7777
	switch h.Typeflag {
	case tar.TypeReg:
		if !l.setuid[h.Name] {
			mode &^= 0o6000
		}
	case tar.TypeSymlink:
		mode = 0o777
	}
	out := tar.Header{
		Typeflag: h.Typeflag, Name: h.Name, Linkname: h.Linkname, Size: h.Size, Mode: mode,
		Uid: h.Uid, Gid: h.Gid, ModTime: time.Unix(h.ModTime.Unix(), 0), Format: tar.FormatPAX,
	}
	n := &node{kind: h.Typeflag, owner: owner, mode: mode, size: h.Size}
	switch h.Typeflag {
	case tar.TypeDir:
		out.Name += "/"
	case tar.TypeSymlink:
		n.link = h.Linkname
	case tar.TypeLink:
		n.kind = tar.TypeReg
		target := l.nodes[h.Linkname]
		n.mode, n.size, out.Mode = target.mode, target.size, target.mode
	}
	if err := l.tw.WriteHeader(&out); err != nil {
		return fmt.Errorf("writing %q: %w", "/"+h.Name, err)
	}
	if h.Typeflag == tar.TypeReg {
		if _, err := io.CopyBuffer(struct{ io.Writer }{l.tw}, body, l.copyBuf); err != nil {
			return fmt.Errorf("writing %q: %w", "/"+h.Name, err)
		}
	}
	l.nodes[h.Name] = n
	l.record(h, n)
	return nil
}

func (l *layer) record(h tar.Header, n *node) {
	if n.owner != nil && h.ModTime.After(l.newest) {
		l.newest = time.Unix(h.ModTime.Unix(), 0)
	}
	c := Content{Path: "/" + h.Name, Mode: n.mode | modeRegular, Size: n.size}
	if n.owner != nil {
		c.Package = n.owner.pkg.ID
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return
	case tar.TypeSymlink:
		c.Link, c.Mode, c.Size = h.Linkname, n.mode|modeSymlink, 0
	case tar.TypeLink:
		c.Link = "/" + h.Linkname
	}
	l.contents = append(l.contents, c)
}

// generated is an entry that the configuration adds.
type generated struct {
	path     string // absolute
	mode     int64  // 0: the usual one
	uid, gid int
	body     []byte // of a file
	link     string // of a symbolic link
	dir      bool
}

// add writes a generated entry, unless something stands there or the spec
// excludes it: like maintainer scripts, it never replaces what is there.
func (l *layer) add(g generated) error {
	name, err := l.resolve(strings.TrimPrefix(g.path, "/"), false)
	if err != nil {
		return fmt.Errorf("configuring the layer: %w", err)
	}
	if n := l.nodes[name]; n != nil && !(n.assumed && g.link == n.link) || l.filter.excludes(name) {
		return nil
	}
	h := tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: fileMode, Uid: g.uid, Gid: g.gid, ModTime: l.newest, Size: int64(len(g.body))}
	switch {
	case g.dir:
		h.Typeflag, h.Mode, h.Size = tar.TypeDir, dirMode, 0
	case g.link != "":
		h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, g.link, 0
	}
	if g.mode != 0 {
		h.Mode = g.mode
	}
	return l.put(h, nil, bytes.NewReader(g.body))
}

// addAll adds entries in their order.
func (l *layer) addAll(all ...generated) error {
	for _, g := range all {
		if err := l.add(g); err != nil {
			return err
		}
	}
	return nil
}
