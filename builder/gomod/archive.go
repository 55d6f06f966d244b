package gomod

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"path"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
)

// Archive is a module version's zip. The names of its files are those below
// the module's directory.
type Archive struct {
	module.Version
	files []*zip.File
	names map[string]*zip.File
}

// vendored says which modules a main module brings along. Zips hold none of
// their packages, but those made by older Go still have the list.
const vendored = "vendor/modules.txt"

// Open reads the directory of a zip.
func Open(v module.Version, r io.ReaderAt, size int64) (*Archive, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("opening the zip of module %q at %q: %w: fetch it again", v.Path, v.Version, err)
	}
	a := &Archive{Version: v, files: z.File, names: map[string]*zip.File{}}
	prefix := v.Path + "@" + v.Version + "/"
	for _, f := range z.File {
		name, ok := strings.CutPrefix(f.Name, prefix)
		if strings.HasSuffix(name, "/") && ok {
			continue
		}
		if !ok || name == "" || path.Clean("/"+name) != "/"+name {
			return nil, fmt.Errorf("opening the zip of module %q at %q: file %q does not lie below %q: fetch it again", v.Path, v.Version, f.Name, prefix)
		}
		if name != vendored {
			a.names[name] = f
		}
	}
	return a, nil
}

// Sum is the checksum of a zip as go.sum has it.
func (a *Archive) Sum() (string, error) {
	byName := make(map[string]*zip.File, len(a.files))
	names := make([]string, 0, len(a.files))
	for _, f := range a.files {
		byName[f.Name] = f
		names = append(names, f.Name)
	}
	sum, err := dirhash.Hash1(names, func(name string) (io.ReadCloser, error) { return byName[name].Open() })
	if err != nil {
		return "", fmt.Errorf("reading the zip of module %q at %q: %w: fetch it again", a.Path, a.Version.Version, err)
	}
	return sum, nil
}

// ModSum is the checksum of a go.mod as go.sum has it.
func ModSum(goMod []byte) (string, error) {
	return dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(goMod)), nil
	})
}

// Names gives the files, in no order.
func (a *Archive) Names() []string {
	names := make([]string, 0, len(a.names))
	for n := range a.names {
		names = append(names, n)
	}
	return names
}

// Size is the size of a file in bytes.
func (a *Archive) Size(name string) int64 {
	if f, ok := a.names[name]; ok {
		return int64(f.UncompressedSize64)
	}
	return 0
}

// OpenFile opens a file.
func (a *Archive) OpenFile(name string) (io.ReadCloser, error) {
	f, ok := a.names[name]
	if !ok {
		return nil, fmt.Errorf("opening %q of module %q: there is no such file", name, a.Path)
	}
	return f.Open()
}

// Read gives a file; nil where there is none.
func (a *Archive) Read(name string) ([]byte, error) {
	f, ok := a.names[name]
	if !ok {
		return nil, nil
	}
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("reading %q of module %q: %w: fetch it again", name, a.Path, err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("reading %q of module %q: %w: fetch it again", name, a.Path, err)
	}
	return data, nil
}

// SumError says that a file is not what it should be.
type SumError struct {
	Module    module.Version
	File      string // zip or go.mod
	Want, Got string
	From      string // who says what it should be
}

// Error names both checksums.
func (e *SumError) Error() string {
	return fmt.Sprintf("verifying the %s of module %q at %q: its checksum is %s, and %s says %s: the proxy gave other bytes: try another one in GOPROXY, and do not use what this one gave",
		e.File, e.Module.Path, e.Module.Version, e.Got, e.From, e.Want)
}

// ExitCode is that of a registry or mirror.
func (e *SumError) ExitCode() int { return 4 }
