package rootfs

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
)

// maxKept bounds one file that the configuration reads, bytes.
const maxKept = 1 << 20

// step is one part of the configuration: what the maintainer scripts of some
// packages would do, done from those packages' own files.
type step struct {
	name string
	// reads are the files it needs: paths, or directories with a final slash.
	// Where a package of the layer ships one, the step runs, and reads those of
	// the layers below as well. Without any it always runs.
	reads []string
	// in are the purposes it belongs to, Runtime aside.
	toolchain, unpacked bool
	run                 func(*build) error
}

// steps in their order; the dpkg database describes what stands before it.
var steps = []step{
	{name: "standard directories", toolchain: true, unpacked: true, run: (*build).links},
	{name: "base-files", reads: []string{"/usr/share/base-files/"}, toolchain: true, run: (*build).baseFiles},
	{name: "accounts", reads: []string{"/usr/share/base-passwd/"}, toolchain: true, unpacked: true, run: (*build).accounts},
	{name: "name service", reads: []string{"/usr/share/libc-bin/nsswitch.conf"}, toolchain: true, run: copied("/usr/share/libc-bin/nsswitch.conf", "/etc/nsswitch.conf")},
	{name: "readline", reads: []string{"/usr/share/readline/inputrc"}, run: copied("/usr/share/readline/inputrc", "/etc/inputrc")},
	{name: "shells", reads: []string{"/usr/share/debianutils/shells", "/usr/share/debianutils/shells.d/"}, toolchain: true, run: (*build).shells},
	{name: "PAM", reads: []string{"/usr/share/pam/", "/usr/share/pam-configs/"}, run: (*build).pam},
	{name: "certificates", reads: []string{certDir + "/"}, run: (*build).certificates},
	{name: "networks", run: (*build).networks},
	{name: "time zone", run: (*build).timeZone},
	{name: "alternatives", toolchain: true, run: (*build).alternatives},
	{name: "dpkg database", unpacked: true, run: (*build).database},
}

func (s step) active(spec Spec) bool {
	switch {
	case spec.Purpose == Sysroot:
		return s.name == steps[0].name
	case spec.Purpose == Toolchain:
		return s.toolchain
	}
	return s.unpacked || !spec.Unpacked
}

// wants tells whether the step reads a file.
func (s step) wants(name string) bool {
	for _, r := range s.reads {
		if name == r || strings.HasSuffix(r, "/") && strings.HasPrefix(name, r) {
			return true
		}
	}
	return false
}

// keep remembers the content of a file that some step reads.
func (b *build) keep(e *entry) error {
	if e.h.Typeflag != tar.TypeReg || !b.wanted("/"+e.name) {
		return nil
	}
	body, err := readKept(e.body, e.h.Size)
	if err != nil {
		return fmt.Errorf("reading %q: %w", "/"+e.name, err)
	}
	b.kept["/"+e.name] = body
	e.body = bytes.NewReader(body)
	return nil
}

func readKept(r io.Reader, size int64) ([]byte, error) {
	if size > maxKept {
		return nil, fmt.Errorf("it has %d bytes, more than %d: do not use this package", size, maxKept)
	}
	return io.ReadAll(r)
}

func (b *build) wanted(name string) bool {
	for _, s := range steps {
		if s.active(b.spec) && s.wants(name) {
			return true
		}
	}
	return false
}

// configure runs the steps whose files the layer's packages ship.
func (b *build) configure(ctx context.Context) error {
	here := slices.Collect(maps.Keys(b.kept))
	var run []step
	for _, s := range steps {
		if s.active(b.spec) && (len(s.reads) == 0 || slices.ContainsFunc(here, s.wants)) {
			run = append(run, s)
		}
	}
	if err := b.keepBelow(ctx, run); err != nil {
		return err
	}
	for _, s := range run {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.run(b); err != nil {
			return fmt.Errorf("configuring the layer (%s): %w", s.name, err)
		}
	}
	return nil
}

// keepBelow reads what the steps need from packages of the layers below; their
// md5sums say which of them ship it.
func (b *build) keepBelow(ctx context.Context, run []step) error {
	for _, i := range b.below {
		missing := map[string]bool{}
		for _, l := range i.lines("md5sums") {
			_, name, _ := strings.Cut(l, "  ")
			name = "/" + name
			if _, ok := b.kept[name]; !ok && slices.ContainsFunc(run, func(s step) bool { return s.wants(name) }) {
				missing[name] = true
			}
		}
		if len(missing) == 0 {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		err := b.scan(i, func(name string, h *tar.Header, body io.Reader) (bool, error) {
			if !missing["/"+name] || h.Typeflag != tar.TypeReg {
				return true, nil
			}
			text, err := readKept(body, h.Size)
			b.kept["/"+name] = text
			delete(missing, "/"+name)
			return len(missing) > 0, err
		})
		if err != nil {
			return fmt.Errorf("reading package %q of a layer below: %w", i.pkg.ID, err)
		}
	}
	return nil
}

// keptIn lists the kept files of a directory (not below it), sorted.
func (b *build) keptIn(dir string) []string {
	var out []string
	for name := range b.kept {
		if path.Dir(name) == dir {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// copied is a step that installs a template where nothing stands.
func copied(from, to string) func(*build) error {
	return func(b *build) error { return b.copyKept(from, to) }
}

func (b *build) copyKept(from, to string) error {
	body, ok := b.kept[from]
	if !ok {
		return nil
	}
	return b.layer.add(generated{path: to, body: body})
}
