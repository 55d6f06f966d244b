package source

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// parse reads the recipe at a path of files. Messages name the path as it is
// there, wherever the files lie for now.
func parse(fsys fs.FS, file string) (*recipes.Recipe, error) {
	if !fs.ValidPath(file) || file == "." {
		return nil, fmt.Errorf("reading recipe %q: it is no path below the root: write it like \"dir/name.toml\"", file)
	}
	info, err := fs.Stat(fsys, file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("reading recipe %q: there is no such file: check the path", file)
	case err != nil:
		return nil, fmt.Errorf("reading recipe %q: %w: make it a file", file, reason(err))
	case !info.Mode().IsRegular() || info.Size() > recipeBytes:
		return nil, fmt.Errorf("reading recipe %q: it is no file, or has more than %d MiB: name the recipe file", file, recipeBytes>>20)
	}
	data, err := fs.ReadFile(fsys, file)
	if err != nil {
		return nil, fmt.Errorf("reading recipe %q: %w: make it readable", file, reason(err))
	}
	beside, err := fs.Sub(fsys, path.Dir(file))
	if err != nil {
		return nil, err
	}
	return recipes.Parse(file, data, beside)
}

// reason is an error without the path of this machine.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// checkLocal refuses recipes that take sources from this machine's disk: who
// submits one may see what it makes of them, but not what the service can read.
func checkLocal(r *recipes.Recipe) error {
	var problems recipes.Problems
	for ; r != nil && !r.OfCatalog(); r = r.Base() {
		for _, name := range slices.Sorted(maps.Keys(r.Source)) {
			src := r.Source[name]
			for _, address := range append([]string{src.Git, src.URL}, src.Mirrors...) {
				if strings.HasPrefix(strings.ToLower(address), "file:") {
					problems = append(problems, r.Problem(recipes.JoinPath("source", name),
						fmt.Sprintf("source %q is on the disk of the machine that builds", name), "name an address that is reached over the network"))
				}
			}
		}
	}
	return problems.Err()
}

// standOn tells a recipe, and those it is built on, where their files lie.
func standOn(r *recipes.Recipe, root string) {
	for ; r != nil && !r.OfCatalog(); r = r.Base() {
		r.Root = root
	}
}

// collect gathers what a recipe is made of.
func collect(fsys fs.FS, r *recipes.Recipe) (tree, error) {
	c := &collector{fsys: fsys, tree: tree{}}
	dir := path.Dir(filepath.ToSlash(r.File))
	for ; r != nil && !r.OfCatalog(); r = r.Base() {
		for _, p := range append([]string{path.Base(filepath.ToSlash(r.File))}, r.Beside()...) {
			if err := fs.WalkDir(fsys, path.Join(dir, p), c.add); err != nil {
				return nil, err
			}
		}
	}
	err := fs.WalkDir(fsys, path.Join(dir, lock.Name), c.add)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return c.tree, err
}

type collector struct {
	fsys fs.FS
	tree tree
	size int64
}

// add takes a file into the tree; it is a function of fs.WalkDir.
func (c *collector) add(p string, entry fs.DirEntry, err error) error {
	if err != nil {
		return fmt.Errorf("reading %q: %w: check that it is there", p, reason(err))
	}
	if _, taken := c.tree[p]; taken {
		return nil
	}
	info, err := fs.Stat(c.fsys, p) // what a recipe names itself may be a link within the tree
	switch {
	case err != nil:
		return fmt.Errorf("reading %q: %w: check that it is there, and no link that leaves the tree", p, reason(err))
	case len(c.tree) >= treeFiles:
		return fmt.Errorf("reading %q: the recipe names more than %d files: pack them into a tarball that is a source with url and sha256", p, treeFiles)
	case entry.IsDir():
		c.tree[p] = file{dir: true}
		return nil
	case !info.Mode().IsRegular():
		return fmt.Errorf("reading %q: it is no regular file: replace it by one", p)
	}
	if c.size += info.Size(); c.size > treeBytes {
		return fmt.Errorf("reading %q: the files of the recipe have more than %d MiB: make what is large a source with url and sha256", p, treeBytes>>20)
	}
	data, err := fs.ReadFile(c.fsys, p)
	if err != nil {
		return fmt.Errorf("reading %q: %w: make it readable", p, reason(err))
	}
	c.tree[p] = file{data: data, exec: info.Mode()&0o111 != 0}
	return nil
}

// inputs is the digest of all that decides what is built of a recipe: the
// recipes with their comments (they say what is pushed where), the files, and
// what the lock has of it.
func (s *Sources) inputs(r *recipes.Recipe, t tree, lockText []byte) (digest.Digest, error) {
	sum := sha256.New()
	fmt.Fprintf(sum, "tree %s\n", r.InputDigest(s.cfg.Version))
	for below := r; below != nil && !below.OfCatalog(); below = below.Base() {
		fmt.Fprintf(sum, "recipe %x\n", sha256.Sum256(t[filepath.ToSlash(below.File)].data))
	}
	entry, err := s.locked.entry(path.Join(path.Dir(filepath.ToSlash(r.File)), lock.Name), lockText, r)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(sum, "lock %x\n", sha256.Sum256(entry))
	return digest.NewDigestFromEncoded(digest.SHA256, hex.EncodeToString(sum.Sum(nil))), nil
}

var catalogLockSum = sync.OnceValue(func() [sha256.Size]byte { return sha256.Sum256(recipes.CatalogLock()) })

func (s *Sources) catalogInputs(r *recipes.Recipe) digest.Digest {
	return digest.FromString(fmt.Sprintf("catalog %s\npush %q %q\nlock %x\n", r.InputDigest(s.cfg.Version), r.Push.Repository, r.Push.Tags, catalogLockSum()))
}

// lockCache spares the recipes of one directory the reading of their lock.
type lockCache struct {
	mu   sync.Mutex
	sum  [sha256.Size]byte
	file *lock.File
}

// entry is the part of a lock that a recipe uses; empty where there is no lock.
func (c *lockCache) entry(name string, text []byte, r *recipes.Recipe) ([]byte, error) {
	if text == nil {
		return nil, nil
	}
	sum := sha256.Sum256(text)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file == nil || c.sum != sum {
		f, err := lock.Parse(name, text)
		if err != nil {
			return nil, err
		}
		c.sum, c.file = sum, f
	}
	return entryOf(c.file, r), nil
}

func entryOf(f *lock.File, r *recipes.Recipe) []byte {
	f = f.Clone()
	var names, sets []string
	for ; r != nil; r = r.Base() {
		names, sets = append(names, r.Name), append(sets, builder.LockedSets(r)...)
	}
	f.Keep(names, sets)
	return f.Marshal()
}

// catalogLock is what the catalogue's lock has of a recipe.
func catalogLock(r *recipes.Recipe) ([]byte, error) {
	text := recipes.CatalogLock()
	if text == nil {
		return nil, fs.ErrNotExist
	}
	f, err := lock.Parse("catalog:"+lock.Name, text)
	if err != nil {
		return nil, err
	}
	return entryOf(f, r), nil
}

// lockOf is where the lock of the recipe at a path stands.
func lockOf(file string) string { return path.Join(path.Dir(filepath.ToSlash(file)), lock.Name) }

// readLock reads a lock; nil where there is none.
func readLock(p string) ([]byte, error) {
	text, err := os.ReadFile(p)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading lock %q: %w: check the state directory", p, err)
	}
	return text, nil
}

// request asks for a build with what its options say.
func request(r *recipes.Recipe, lockPath string, o service.Options) builder.Request {
	return builder.Request{
		Recipe: r, LockPath: lockPath, Locked: o.Locked, Update: o.Update, Mode: o.Mode, NoCache: o.NoCache,
		Push: slices.Clone(o.Push), Index: o.Index, Tags: slices.Clone(o.Tags),
	}
}

// topRecipes are the recipe files at the top of files, sorted.
func topRecipes(fsys fs.FS) ([]string, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, err
	}
	var found []string
	for _, e := range entries {
		if name := e.Name(); path.Ext(name) == ".toml" && !strings.HasPrefix(name, ".") && !e.IsDir() {
			found = append(found, name)
		}
	}
	return found, nil
}
