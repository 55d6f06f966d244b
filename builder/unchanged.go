package builder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// OutcomeUnchanged is the outcome of a build that was left out because the
// registries hold its image, made from the same inputs.
const OutcomeUnchanged = "unchanged"

// Unchanged tells whether every reference that a request would be pushed to
// names one image that was made from the same inputs. It reads the lock as it
// stands and asks the registries; nothing is resolved, downloaded or written,
// and no engine is started. A request that is for more than pushing, or that
// asks for a new image, is never unchanged. It may be called from several
// goroutines.
func (b *Builder) Unchanged(ctx context.Context, req Request) (*Result, bool, error) {
	start := time.Now()
	rec := req.Recipe
	refs := references(req.Push, rec.Push.Repository, req.tags())
	if len(refs) == 0 || req.Output != "" || req.Load != nil || req.NoCache || req.Update {
		return nil, false, nil
	}
	inputs, err := b.standingInputs(req)
	if err != nil || inputs == "" {
		return nil, false, err
	}
	r := newResult(rec)
	image, ok, err := b.cfg.Pusher.Standing(ctx, refs, req.Index)
	if err != nil {
		err = fmt.Errorf("looking for the image of recipe %q: %w", rec.Name, err)
		r.Error = err.Error()
		return r, false, err
	}
	if !ok || image.Annotations[InputsAnnotation] != inputs {
		return nil, false, nil
	}
	r.Digest, r.ConfigDigest, r.Tags, r.Outcome, r.Cached = image.Digest, image.Config, refs, OutcomeUnchanged, true
	r.Stages["push"] = round(time.Since(start))
	return r, true, nil
}

// tags are those that the request's image gets.
func (req Request) tags() []string {
	if len(req.Tags) > 0 {
		return req.Tags
	}
	return req.Recipe.Push.Tags
}

// standingInputs is the input digest that a build would have which resolves
// nothing; empty if it would have to.
func (b *Builder) standingInputs(req Request) (string, error) {
	l, err := b.standingLock(req)
	if err != nil || l == nil {
		return "", err
	}
	base := ""
	if below, ok := baseRequest(req); ok {
		if base, err = b.standingInputs(below); err != nil || base == "" {
			return "", err
		}
	}
	return inputDigest(req.Recipe, l, base, b.cfg.Version), nil
}

// standingLock gives the lock that a build would use without resolving
// anything; nil if there is none.
func (b *Builder) standingLock(req Request) (*lock.Index, error) {
	f, err := b.standing.get(req.LockPath)
	if err != nil {
		return nil, err
	}
	own, err := filepath.Glob(filepath.Join(b.cfg.StateDir, "locks", req.Recipe.Name+"-*"))
	if err == nil && len(own) > 0 {
		if other, ok := b.replacement(req, f.text); ok {
			return other.Index(), nil
		}
	}
	if rec, ok := f.index.Recipe(req.Recipe.Name); !ok || rec.Inputs != req.Recipe.LockInputs() {
		return nil, nil
	}
	return f.index, nil
}

// standingLocks are the locks that were read, by path: several hundred recipes
// share one, which is read and parsed once. A file that was written since is
// read again.
type standingLocks struct {
	mu   sync.Mutex
	read map[string]standingLock
}

// standingLock is a lock with its text and the file that it was read from.
type standingLock struct {
	index *lock.Index
	text  []byte
	file  fs.FileInfo // nil: no file, or the catalogue's
}

// get reads a lock; one that is not there is empty.
func (s *standingLocks) get(path string) (standingLock, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := standingLock{text: recipes.CatalogLock()}
	name := "catalog:" + lock.Name
	if path != "" {
		var err error
		name, one.text = path, nil
		if one.file, err = os.Stat(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return one, fmt.Errorf("reading lock %q: %w: check its rights", path, err)
		}
	}
	if have, ok := s.read[name]; ok && sameFile(have.file, one.file) {
		return have, nil
	}
	if one.file != nil {
		var err error
		if one.text, err = os.ReadFile(path); err != nil {
			return one, fmt.Errorf("reading lock %q: %w: check its rights", path, err)
		}
	}
	parsed := lock.New()
	if len(one.text) > 0 {
		var err error
		if parsed, err = lock.Parse(name, one.text); err != nil {
			return one, err
		}
	}
	one.index = parsed.Index()
	if s.read == nil {
		s.read = map[string]standingLock{}
	}
	s.read[name] = one
	return one, nil
}

// sameFile tells whether two looks at a path saw the same text.
func sameFile(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
