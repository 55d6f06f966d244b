package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/builder/service/store"
	"github.com/riscv-build/riscv-build/pusher"
)

// modes are those of a recipe's build.
var modes = []string{"", "auto", "cross", "emulate", "native"}

// maxTag is the longest tag of a registry, in bytes.
const maxTag = 128

// Submit implements service.Service.
func (q *Queue) Submit(ctx context.Context, s service.Submission) ([]service.Build, error) {
	return q.submit(ctx, s, nil)
}

// submit queues what is asked for; also is done in the same change. All of it
// is queued, or nothing.
func (q *Queue) submit(ctx context.Context, s service.Submission, also func(*store.Tx, []service.Build) error) ([]service.Build, error) {
	if err := checkOptions(s.Options); err != nil {
		return nil, err
	}
	q.submitting.RLock()
	defer q.submitting.RUnlock()
	candidates, err := q.cfg.Sources.Resolve(ctx, s) // may take long: a repository is asked
	if err != nil {
		return nil, err
	}
	options := s.Options
	if len(options.Push) == 0 && !options.NoPush {
		options.Push = slices.Clone(q.cfg.Push)
	}
	builds := make([]service.Build, 0, len(candidates))
	for _, c := range candidates {
		b := service.Build{
			Recipe: c.Recipe, Version: c.Version, Origin: c.Origin, Tree: c.Tree, Options: options,
			Client: s.Client, Cause: s.Cause,
		}
		b.Inputs = q.inputs(c, options)
		builds = append(builds, b)
	}
	return builds, q.insert(ctx, builds, also)
}

// insert queues new builds.
func (q *Queue) insert(ctx context.Context, builds []service.Build, also func(*store.Tx, []service.Build) error) error {
	err := q.change(ctx, func(tx *store.Tx) error {
		queued, err := tx.Queued()
		if err != nil {
			return err
		}
		if queued+len(builds) > q.cfg.MaxQueued {
			return &service.UnavailableError{
				Err:   fmt.Errorf("queueing %d builds: %d are waiting, of at most %d: try again when some are done, or cancel some", len(builds), queued, q.cfg.MaxQueued),
				After: time.Minute,
			}
		}
		for i := range builds {
			if err := enqueue(tx, &builds[i]); err != nil {
				return err
			}
		}
		if also != nil {
			return also(tx, builds)
		}
		return nil
	})
	signal(q.wake)
	return err
}

// enqueue queues one build, behind the one that is made from the same inputs if
// there is such a one.
func enqueue(tx *store.Tx, b *service.Build) error {
	b.Status, b.Created = service.Queued, store.Now()
	var leader service.Build
	if !b.Options.NoCache {
		var same bool
		var err error
		if leader, same, err = tx.Leader(b.Inputs); err != nil {
			return err
		}
		if same {
			b.SameAs = leader.ID
		}
	}
	if err := tx.Insert(b); err != nil {
		return err
	}
	if err := put(tx, *b, ""); err != nil {
		return err
	}
	if leader.Status != service.Running {
		return nil
	}
	begin(b)
	return put(tx, *b, "")
}

// begin makes a build one that runs.
func begin(b *service.Build) {
	now := store.Now()
	b.Status, b.Started, b.Stage = service.Running, &now, ""
	b.Attempt++
}

// inputs is the digest of all that decides what a build gives.
func (q *Queue) inputs(c service.Candidate, options service.Options) digest.Digest {
	if options.Mode == "auto" {
		options.Mode = ""
	}
	options.NoPush = false // it is Push that counts
	text, err := json.Marshal(struct {
		Candidate digest.Digest
		Recipe    string
		Options   service.Options
		Version   string
	}{c.Inputs, c.Recipe, options, q.cfg.Version})
	if err != nil {
		panic(err) // strings and booleans
	}
	return digest.FromBytes(text)
}

// checkOptions refuses options that no build can have.
func checkOptions(o service.Options) error {
	if !slices.Contains(modes, o.Mode) {
		return &service.InvalidError{Field: "options.mode", Err: fmt.Errorf("reading mode %q: write one of auto, cross, emulate, native", o.Mode)}
	}
	for i, target := range o.Push {
		if _, _, err := pusher.ParseTarget(target); err != nil {
			return &service.InvalidError{Field: fmt.Sprintf("options.push[%d]", i), Err: err}
		}
	}
	for i, tag := range o.Tags {
		if !validTag(tag) {
			return &service.InvalidError{Field: fmt.Sprintf("options.tags[%d]", i),
				Err: fmt.Errorf("reading tag %q: write up to %d letters, digits, dots, dashes and underscores, the first no dot or dash", tag, maxTag)}
		}
	}
	if o.NoPush && (len(o.Push) > 0 || o.Index || o.Changed) {
		return &service.InvalidError{Field: "options.no_push", Err: errors.New("reading options: no_push excludes push, and index and changed, which are about a registry: leave out one of them")}
	}
	if o.Locked && o.Update {
		return &service.InvalidError{Field: "options.update", Err: errors.New("reading options: locked and update exclude each other: leave out one of them")}
	}
	return nil
}

// validTag tells whether a registry takes a tag.
func validTag(tag string) bool {
	if tag == "" || len(tag) > maxTag || strings.ContainsAny(tag[:1], ".-") {
		return false
	}
	return !strings.ContainsFunc(tag, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r))
	})
}

// Retry implements service.Service: it is a new build of the same recipe.
func (q *Queue) Retry(ctx context.Context, id int64, client string) (service.Build, error) {
	old, err := q.cfg.Store.Build(ctx, id)
	if err != nil {
		return old, err
	}
	if !old.Status.Final() {
		return old, &service.ConflictError{Err: fmt.Errorf("building %d again: it is %s: wait for its end or cancel it", id, old.Status)}
	}
	b := []service.Build{{
		Recipe: old.Recipe, Version: old.Version, Origin: old.Origin, Tree: old.Tree, Inputs: old.Inputs,
		Options: old.Options, Client: client, Cause: service.ByRetry, RetryOf: old.ID,
	}}
	err = q.insert(ctx, b, nil)
	return b[0], err
}

// Build implements service.Service.
func (q *Queue) Build(ctx context.Context, id int64) (service.Build, error) {
	return q.cfg.Store.Build(ctx, id)
}

// Builds implements service.Service.
func (q *Queue) Builds(ctx context.Context, f service.Filter) ([]service.Build, error) {
	for _, s := range f.Status {
		if !slices.Contains(service.Statuses, s) {
			return nil, &service.InvalidError{Field: "status", Err: fmt.Errorf("reading status %q: write one of %q", s, service.Statuses)}
		}
	}
	return q.cfg.Store.List(ctx, f)
}

// Recipes implements service.Service.
func (q *Queue) Recipes(ctx context.Context) ([]service.RecipeInfo, error) {
	list, err := q.cfg.Sources.Recipes(ctx)
	if err != nil {
		return nil, err
	}
	newest, err := q.cfg.Store.Newest(ctx)
	if err != nil {
		return nil, err
	}
	list = slices.Clone(list)
	for i := range list {
		if b, ok := newest[list[i].Name]; ok {
			list[i].Last = &b
		}
	}
	return list, nil
}

// Pushed implements service.Service.
func (q *Queue) Pushed(ctx context.Context, p service.Push) ([]service.Build, error) {
	s, err := q.cfg.Sources.Pushed(ctx, p)
	if err != nil || len(s.Recipes) == 0 && s.Git == nil && s.Upload == nil {
		return []service.Build{}, err
	}
	s.Cause = service.ByWebhook
	if s.Client == "" {
		s.Client = "webhook " + p.Sender
	}
	return q.Submit(ctx, s)
}
