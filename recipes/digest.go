package recipes

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"slices"
)

// InputDigest returns a digest ("sha256:" and 64 hex digits) of everything in
// the recipe that the built, checked and tested image depends on: each key but
// those of push, and the content of the files, patches and source directories
// it names. version says which program builds: another one may build
// differently.
//
// A file that cannot be read enters with its error. No build that succeeded
// has such a digest, and the build that follows meets the error itself.
func (r *Recipe) InputDigest(version string) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "riscv-build %q\n", version)
	plain := *r
	plain.Push, plain.File, plain.Root, plain.Dir, plain.Lines = Push{}, "", "", nil, nil
	writeJSON(sum, plain)
	if r.base != nil {
		fmt.Fprintf(sum, "base %s\n", r.base.InputDigest(version))
	}
	for _, p := range r.Build.Patches {
		r.digestFile(sum, p)
	}
	for _, f := range r.Image.Files {
		if f.From != "" {
			r.digestFile(sum, f.From)
		}
	}
	for _, name := range r.sourceNames() {
		if dir := r.Source[name].Dir; dir != "" {
			r.digestTree(sum, dir)
		}
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
}

// LockInputs returns a digest of what the lock depends on in the recipe: its
// archive, its packages and its sources. A lock that was made for another
// digest is stale. The order of packages does not count, nor does what only
// says how bytes are reached that the lock pins anyway (debian.mirrors,
// debian.allow_expired), nor what lies in a source directory but go.mod and
// go.sum of a Go module.
func (r *Recipe) LockInputs() string {
	sum := sha256.New()
	sets := [][]string{r.Debian.Suites, r.Debian.Components, r.Build.Packages, r.Build.Tools, r.Image.Packages}
	for i, set := range sets {
		sets[i] = append([]string{}, set...)
		slices.Sort(sets[i])
	}
	goFiles := r.goFiles()
	sources := map[string]Source{}
	for name, src := range r.Source {
		if src.Dir == "" {
			src.Into = ""
			src.Mirrors = append([]string{}, src.Mirrors...)
			sources[name] = src
		}
	}
	inputs := map[string]any{
		"sets":     sets,
		"sources":  sources,
		"template": r.Build.Template,
		"base":     r.Image.Base,
	}
	if r.Build.Template == goTemplate {
		inputs["go"] = []string{r.Build.Go, r.Build.Dir}
	}
	writeJSON(sum, inputs)
	for _, name := range goFiles {
		r.digestFile(sum, name)
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
}

// writeJSON writes a value whose JSON is canonical: structs in the order of
// their fields, maps sorted.
func writeJSON(w io.Writer, value any) {
	data, err := json.Marshal(value)
	if err != nil {
		fmt.Fprintf(w, "error %v", err) // no type of a recipe can cause one
	}
	w.Write(append(data, '\n')) //nolint:errcheck // a hash returns no error
}

func (r *Recipe) digestFile(sum hash.Hash, name string) {
	content := sha256.New()
	f, err := r.Dir.Open(name)
	if err == nil {
		_, err = io.Copy(content, f)
		f.Close()
	}
	if err != nil {
		fmt.Fprintf(sum, "file %q error %v\n", name, err)
		return
	}
	fmt.Fprintf(sum, "file %q %x\n", name, content.Sum(nil))
}

// digestTree adds every entry below a directory. Of the modes only the
// executable bit counts: the others are the umask's, not the recipe's.
func (r *Recipe) digestTree(sum hash.Hash, dir string) {
	err := fs.WalkDir(r.Dir, dir, func(p string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch {
		case entry.IsDir():
			fmt.Fprintf(sum, "dir %q\n", p)
		case entry.Type()&fs.ModeSymlink != 0:
			target, err := fs.ReadLink(r.Dir, p)
			fmt.Fprintf(sum, "link %q %q %v\n", p, target, err)
		default:
			info, err := entry.Info()
			if err != nil {
				return err
			}
			fmt.Fprintf(sum, "%v %t ", info.Mode().Type(), info.Mode()&0o111 != 0)
			if info.Mode().IsRegular() {
				r.digestFile(sum, p)
			}
		}
		return nil
	})
	if err != nil {
		fmt.Fprintf(sum, "tree %q error %v\n", dir, err)
	}
}
