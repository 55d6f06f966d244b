package rootfs

import (
	"archive/tar"
	"fmt"
	"io"
)

// occupied tells whether what stands at an entry's path stays instead of it,
// by dpkg's rules.
func (b *build) occupied(e *entry) (bool, error) {
	n := b.layer.nodes[e.h.Name]
	if n == nil {
		return false, nil
	}
	isDir := e.h.Typeflag == tar.TypeDir
	switch {
	case n.kind == tar.TypeDir && (isDir || e.h.Typeflag == tar.TypeSymlink):
		return true, nil // the first listing's mode counts, and no link replaces a directory
	case n.kind == tar.TypeSymlink && isDir:
		return true, nil // what is in the directory lands at the link's target
	case n.assumed && e.h.Typeflag == tar.TypeSymlink:
		return e.h.Linkname != n.link, nil
	case n.owner == e.info:
		return false, fmt.Errorf("%q occurs twice in it: do not use this package", "/"+e.h.Name)
	case n.owner == nil || n.kind == tar.TypeDir || isDir:
		return false, fmt.Errorf("%q is a directory in one package and none in another: leave one of them out", "/"+e.h.Name)
	case n.owner.replaces(e.info):
		return true, nil
	case n.owner.pkg.Name == e.info.pkg.Name && n.owner.sameArch() && e.info.sameArch():
		return true, nil
	}
	return false, fmt.Errorf("%q is in package %q too and neither replaces the other: leave one of them out", "/"+e.h.Name, n.owner.pkg.ID)
}

// placeLink puts a hard link. Where its file was left out of the layer, or is
// another package's, the link becomes the file.
func (b *build) placeLink(e *entry) error {
	target, err := entryName(e.h.Linkname)
	if err != nil {
		return err
	}
	at, err := b.layer.resolve(target, false)
	if err != nil {
		return err
	}
	if alias, ok := e.u.aliases[at]; ok {
		at = alias
	}
	if n := b.layer.nodes[at]; n != nil && n.owner == e.info && n.kind == tar.TypeReg {
		e.h.Linkname, e.h.Size = at, 0
		return b.layer.put(e.h, e.info, nil)
	}
	e.u.aliases[at] = e.h.Name
	found := false
	err = b.scan(e.info, func(name string, h *tar.Header, body io.Reader) (bool, error) {
		if name != target || h.Typeflag != tar.TypeReg {
			return true, nil
		}
		found = true
		file := *h
		file.Name = e.h.Name
		return false, b.layer.put(file, e.info, body)
	})
	if err == nil && !found {
		err = fmt.Errorf("%q is a hard link to %q, which is no file of it: do not use this package", "/"+e.name, "/"+target)
	}
	return err
}

// scan reads through the data archive of a package once more, until visit
// returns false. Names are clean and relative.
func (b *build) scan(i *info, visit func(name string, h *tar.Header, body io.Reader) (bool, error)) error {
	data, err := openData(b.blobs, i.pkg)
	if err != nil {
		return err
	}
	defer data.Close()
	r := tar.NewReader(data)
	for {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return damaged(i.pkg, err)
		}
		name, err := entryName(h.Name)
		if err != nil {
			return damaged(i.pkg, err)
		}
		if more, err := visit(name, h, r); err != nil || !more {
			return err
		}
	}
}
