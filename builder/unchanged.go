package builder

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

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
	f, text, err := b.readLock(req.LockPath)
	if err != nil {
		return nil, err
	}
	own, err := filepath.Glob(filepath.Join(b.cfg.StateDir, "locks", req.Recipe.Name+"-*"))
	if err == nil && len(own) > 0 {
		if other, ok := b.replacement(req, text); ok {
			return other.Index(), nil
		}
	}
	index := b.parsed.index(f)
	if rec, ok := index.Recipe(req.Recipe.Name); !ok || rec.Inputs != req.Recipe.LockInputs() {
		return nil, nil
	}
	return index, nil
}
