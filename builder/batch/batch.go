package batch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"

	"github.com/riscv-build/riscv-build/builder"
)

// Work is what a batch has done for it: *builder.Builder.
type Work interface {
	// Build makes the image of one recipe, checks it and pushes it.
	Build(ctx context.Context, req builder.Request) (*builder.Result, error)
	// Inputs is a digest of what a build of the request is made from; "" if
	// packages would be resolved first.
	Inputs(req builder.Request) string
	// Outlook tells what a build stands on, before anything is made.
	Outlook(ctx context.Context, req builder.Request) (builder.Outlook, error)
	// Assembled counts layers of packages, and those made more than once.
	Assembled() (layers, repeated int)
}

var _ Work = (*builder.Builder)(nil)

// Changes tells whether there is anything to do for a recipe.
type Changes interface {
	// Unchanged is true when every reference that the request would push holds
	// an image with the same inputs already. It starts no engine.
	Unchanged(ctx context.Context, req builder.Request) (*builder.Result, bool, error)
}

// Options say how a batch is worked through.
type Options struct {
	StateDir     string
	Version      string // of riscv-build
	Work         Work
	Changes      Changes // nil: recipes are built although nothing changed
	ExitCode     func(context.Context, error) int
	Screen       *Screen
	Meter        *Meter
	EngineStarts func() int
	KeepGoing    bool // a recipe that fails does not keep others from being started
	Resume       bool // what the journal has as finished is not looked at again
}

// Batch is a number of recipes to build.
type Batch struct {
	nodes    []*node
	jobs     int
	compiles atomic.Int64 // recipes that compile and are not done
}

// New puts recipes in order. jobs is how many are worked on at a time; 0: by
// processors and memory. stateDir knows how long they took before.
func New(items []Item, jobs int, stateDir string) (*Batch, error) {
	nodes, err := order(items, loadSeconds(stateDir))
	if err != nil {
		return nil, err
	}
	if jobs == 0 {
		jobs = defaultJobs(runtime.NumCPU(), builder.MemoryTotal())
	}
	b := &Batch{nodes: nodes, jobs: jobs}
	for _, n := range nodes {
		n.entry = newEntry(n.Item)
		if n.compiles() {
			b.compiles.Add(1)
		}
	}
	return b, nil
}

// recipeMemory is what one recipe on its way takes, with its compilers: 1.5 GiB.
const recipeMemory = 3 << 29

// defaultJobs is one more than it takes to keep two processors busy: a recipe
// downloads, is assembled or waits for a test while others compile. With many
// processors the compilers of few recipes fill them.
func defaultJobs(processors int, memory int64) int {
	n := min(processors/2+2, 8)
	if memory > 0 {
		n = min(n, int((memory+recipeMemory/2)/recipeMemory))
	}
	return max(n, 1)
}

// Sharing is how many recipes may compile at the same time now.
func (b *Batch) Sharing() int { return max(1, min(b.jobs, int(b.compiles.Load()))) }

// Recipes lists the names in the order of the batch.
func (b *Batch) Recipes() []string {
	var names []string
	for _, n := range b.nodes {
		names = append(names, n.Name)
	}
	return names
}

// key names a recipe's image in the journal by all that decides it and where
// it goes; "" if that is not known yet.
func (n *node) key(w Work) string {
	if n.Request.Recipe == nil {
		return ""
	}
	inputs := w.Inputs(n.Request)
	base := ""
	if n.base != nil {
		base = n.base.key(w)
	}
	if inputs == "" || n.base != nil && base == "" {
		return ""
	}
	req := n.Request
	doc, err := json.Marshal([]any{inputs, base, req.Mode, req.Recipe.Push, req.Push, req.Tags, req.Index})
	if err != nil {
		return "" // cannot happen: strings and booleans
	}
	sum := sha256.Sum256(doc)
	return hex.EncodeToString(sum[:])
}

// FailedError says that a batch did not end well.
type FailedError struct {
	Recipes int
	Outcome map[Outcome]int
	Failed  []string // names
	Kept    bool     // the journal has some that are done
	errs    []error
}

// Error sums up; what failed was shown when it did.
func (e *FailedError) Error() string {
	var parts []string
	for _, o := range Outcomes {
		if n := e.Outcome[o]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, o))
		}
	}
	text := fmt.Sprintf("building a batch of %d recipes: %s", e.Recipes, strings.Join(parts, ", "))
	if len(e.Failed) > 0 {
		text += ": see above why " + strings.Join(e.Failed, ", ") + " failed"
	}
	if e.Kept {
		text += "; `--resume` goes on without those that are done"
	}
	return text
}

// Unwrap gives the errors of the recipes.
func (e *FailedError) Unwrap() []error { return e.errs }
