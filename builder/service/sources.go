package service

import (
	"context"

	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/builder"
)

// Sources knows where recipes come from and keeps what was submitted until the
// builds of it are forgotten.
type Sources interface {
	// Resolve finds the recipes of a submission and keeps their trees. An
	// InvalidError tells of a recipe with errors, with file and line.
	Resolve(ctx context.Context, s Submission) ([]Candidate, error)
	// Open lays out the tree of a build and gives the request for it, with what
	// its options say; Request.Push is Options.Push as it stands.
	Open(ctx context.Context, b Build) (*Opened, error)
	Recipes(ctx context.Context) ([]RecipeInfo, error)
	// All gives requests for every recipe that a name can be built by, to look
	// for newer versions; done removes what was laid out.
	All(ctx context.Context) (requests []builder.Request, done func() error, err error)
	// Pushed finds what a push to the repository of --recipes changed; without
	// recipes if it changed none of them, or is to another repository or branch.
	Pushed(ctx context.Context, p Push) (Submission, error)
	// Sweep forgets trees that no build has any more.
	Sweep(ctx context.Context, keep func(tree digest.Digest) bool) error
}

// Candidate is a recipe that a submission asks for.
type Candidate struct {
	Recipe  string
	Version string
	Origin  Origin
	Tree    digest.Digest // "" for the catalogue
	Inputs  digest.Digest // of the recipe, its files and its lock
}

// Opened is a build's recipe on disk.
type Opened struct {
	Request builder.Request
	// Lock reads the lock as it is now, TOML; fs.ErrNotExist where there is none.
	Lock func() ([]byte, error)
	// Close removes what was laid out. After a build that went well, a lock it
	// has written is kept for the next ones of the same origin.
	Close func(succeeded bool) error
}
