package check

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// maxLinks is how many symbolic links the kernel follows in one path (ELOOP).
const maxLinks = 40

// Tree is the file system of an image: all its layers laid over each other.
// Paths are absolute.
type Tree struct {
	root     *node
	problems []Finding
}

// File is one file, directory or link of a Tree. Hard links share one File.
type File struct {
	Entry
	Layer int // which layer it comes from, from 0
}

type node struct {
	file     *File
	children map[string]*node
}

func newDir(file *File) *node { return &node{file: file, children: map[string]*node{}} }

// NewTree lays the layers over each other, the first lowest (OCI image-spec,
// layer.md, "Applying Changesets").
func NewTree(layers []*LayerFacts) *Tree {
	t := &Tree{root: newDir(implicitDir("/", 0))}
	for i, layer := range layers {
		// Whiteouts mean the layers below, wherever in the tar they stand.
		for _, e := range layer.Entries {
			if e.Type == TypeWhiteout || e.Type == TypeOpaque {
				t.hide(e)
			}
		}
		for _, e := range layer.Entries {
			if e.Type != TypeWhiteout && e.Type != TypeOpaque {
				t.add(&File{Entry: e, Layer: i})
			}
		}
	}
	return t
}

func implicitDir(p string, layer int) *File {
	return &File{Entry: Entry{Path: p, Type: TypeDir, Mode: 0o755}, Layer: layer}
}

func (t *Tree) hide(e Entry) {
	dir, base := e.Path, ""
	if e.Type == TypeWhiteout {
		dir, base = path.Dir(e.Path), path.Base(e.Path)
	}
	real, ok := t.Resolve(dir)
	if !ok {
		return
	}
	n := t.at(real)
	if n.children == nil {
		return
	}
	if e.Type == TypeOpaque {
		clear(n.children)
		return
	}
	delete(n.children, base)
}

func (t *Tree) add(f *File) {
	if f.Path == "/" {
		t.root.file = f
		return
	}
	parent := t.parent(f)
	base := path.Base(f.Path)
	old := parent.children[base]
	switch {
	case f.Type == TypeDir && old != nil && old.children != nil:
		old.file = f
	case f.Type == TypeDir:
		parent.children[base] = newDir(f)
	case f.Type == TypeHardlink:
		real, ok := t.resolve(f.Link, false)
		if !ok || t.at(real).children != nil {
			t.problem(f, "hard-link", fmt.Sprintf("is a hard link to %q, which no layer up to its own has as a file", f.Link),
				"put the link's target into the same layer, before the link")
			return
		}
		parent.children[base] = &node{file: t.at(real).file}
	default:
		parent.children[base] = &node{file: f}
	}
}

// parent returns the directory that f goes into and makes those that no layer has.
func (t *Tree) parent(f *File) *node {
	n, at := t.root, "/"
	for _, name := range split(path.Dir(f.Path)) {
		child := n.children[name]
		at = path.Join(at, name)
		if child != nil && child.file.Type == TypeSymlink {
			t.problem(f, "through-link",
				fmt.Sprintf("is written through %q, which is a symbolic link to %q: containerd follows the link, docker puts a directory in its place", at, child.file.Link),
				"put the file under the directory that the link leads to")
			if real, ok := t.Resolve(at); ok && t.at(real).children != nil {
				n, at = t.at(real), real
				continue
			}
			child = nil
		}
		if child == nil || child.children == nil {
			child = newDir(implicitDir(at, f.Layer))
			n.children[name] = child
		}
		n = child
	}
	return n
}

func (t *Tree) problem(f *File, rule, what, do string) {
	t.problems = append(t.problems, Finding{Severity: SeverityError, Path: f.Path, Rule: rule, What: what, Do: do})
}

// at returns the node of a resolved path.
func (t *Tree) at(real string) *node {
	n := t.root
	for _, name := range split(real) {
		n = n.children[name]
	}
	return n
}

func split(p string) []string {
	p = strings.Trim(path.Clean("/"+p), "/")
	if p == "" {
		return nil
	}
	return strings.Split(p, "/")
}

// Resolve follows all symbolic links of a path, as a process with the image as
// its root does, and returns the path without links. False: there is nothing.
func (t *Tree) Resolve(p string) (string, bool) { return t.resolve(p, true) }

func (t *Tree) resolve(p string, last bool) (string, bool) {
	todo, real, links := rawSplit(p), []string{}, 0
	n := t.root
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		if name == ".." {
			real = real[:max(len(real)-1, 0)]
			n = t.at("/" + strings.Join(real, "/"))
			continue
		}
		child := n.children[name]
		if child == nil {
			return "", false
		}
		if child.file.Type == TypeSymlink && (last || len(todo) > 0) {
			if links++; links > maxLinks {
				return "", false
			}
			target := child.file.Link
			if path.IsAbs(target) {
				n, real = t.root, real[:0]
			}
			todo = append(rawSplit(target), todo...)
			continue
		}
		n, real = child, append(real, name)
	}
	return "/" + strings.Join(real, "/"), true
}

// rawSplit keeps "..", which must be applied after links are followed.
func rawSplit(target string) []string {
	return slices.DeleteFunc(strings.Split(target, "/"), func(s string) bool { return s == "" || s == "." })
}

// Lstat returns what stands at a path: a symbolic link is returned itself, the
// links of the directories above it are followed.
func (t *Tree) Lstat(p string) (*File, bool) {
	real, ok := t.resolve(p, false)
	if !ok {
		return nil, false
	}
	return t.at(real).file, true
}

// Stat returns what a path leads to, all symbolic links followed.
func (t *Tree) Stat(p string) (*File, bool) {
	real, ok := t.Resolve(p)
	if !ok {
		return nil, false
	}
	return t.at(real).file, true
}

// Walk calls visit for everything in the tree, the root first, then in the
// order of the paths' components. A hard link is visited at each of its paths.
func (t *Tree) Walk(visit func(p string, f *File)) { walk("/", t.root, visit) }

func walk(p string, n *node, visit func(string, *File)) {
	visit(p, n.file)
	names := make([]string, 0, len(n.children))
	for name := range n.children {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		walk(path.Join(p, name), n.children[name], visit)
	}
}
