package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/builder/outdated"
)

// Submission asks for builds. Exactly one of Recipes, Upload and Git is given.
type Submission struct {
	Recipes []string `json:"recipes,omitempty"` // names in --recipes, else in the catalogue; one that says "catalog/NAME" is of the catalogue
	Upload  *Upload  `json:"upload,omitempty"`
	Git     *Git     `json:"git,omitempty"`
	Options Options  `json:"options,omitzero"`

	Client string `json:"-"`
	Cause  string `json:"-"`
}

// Upload is a tree of files with recipes in it.
type Upload struct {
	Recipes []string `json:"recipes"` // paths of recipe files in the tree
	Files   []File   `json:"files"`
}

// File is one file of a tree.
type File struct {
	Path    string `json:"path"` // with /, below the root
	Mode    uint32 `json:"mode,omitempty"`
	Content []byte `json:"content"` // base64 in JSON
}

// Git names recipes in a git repository.
type Git struct {
	URL     string   `json:"url"`
	Ref     string   `json:"ref,omitempty"`     // branch, tag or commit; empty: the default branch
	Recipes []string `json:"recipes,omitempty"` // paths of recipe files; empty: all *.toml at the top
}

// Filter chooses builds. The zero value is all of them.
type Filter struct {
	Status []Status // any of these
	Recipe string
	Client string
	Before int64 // ids below it; 0: no limit
	Limit  int   // 0: 50; at most 500
}

// RecipeInfo is a recipe that can be built by its name.
type RecipeInfo struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Summary string `json:"summary"`
	License string `json:"license"`
	Home    string `json:"home,omitempty"`
	From    string `json:"from" enum:"catalog,recipes"`
	Problem string `json:"problem,omitempty"` // why it cannot be built: it has errors
	Last    *Build `json:"last,omitempty"`    // newest build of that name
}

// The conditions of schedules.
const (
	Always       = "always"
	WhenOutdated = "outdated" // a locked package has a newer version
	WhenSecurity = "security" // a locked package has a security update
)

// Schedule builds recipes at times.
type Schedule struct {
	Name    string     `json:"name" maxLength:"64" pattern:"^[a-z0-9][a-z0-9._-]*$"`
	Cron    string     `json:"cron" maxLength:"120" doc:"five fields (minute hour day month weekday) or @daily and the like, in the service's time zone"`
	Recipes []string   `json:"recipes" doc:"names as in a submission; * alone: all of --recipes, else of the catalogue"`
	When    string     `json:"when" enum:"always,outdated,security"`
	Paused  bool       `json:"paused,omitempty"`
	Options Options    `json:"options,omitzero"`
	Last    *time.Time `json:"last,omitempty" readOnly:"true"` // the time it last ran for
	Next    *time.Time `json:"next,omitempty" readOnly:"true"`
	Told    string     `json:"told,omitempty" readOnly:"true"` // what came of the last run
}

// OutdatedReport is what was last found out about newer versions.
type OutdatedReport struct {
	Checked *time.Time       `json:"checked,omitempty"` // nil: never
	Running bool             `json:"running"`
	Error   string           `json:"error,omitempty"`
	Report  *outdated.Report `json:"report,omitempty"`
}

// State is how the service is doing.
type State struct {
	Version    string         `json:"version"`
	Started    time.Time      `json:"started"`
	Engine     string         `json:"engine,omitempty"` // that made the last build that needed one, with its worker: "embedded (containerd)"
	Builds     map[Status]int `json:"builds"`
	FreeBytes  int64          `json:"free_bytes"`  // in the state directory
	FloorBytes int64          `json:"floor_bytes"` // a build is ended below it
	Push       []string       `json:"push"`        // where images go by default
	Waiting    string         `json:"waiting,omitempty"`
}

// The artefacts of a build.
const (
	LockArtefact   = "lock"   // riscv-build.lock that was used, TOML
	GraphArtefact  = "graph"  // LLB, as `graph --format json` prints it
	LogArtefact    = "log"    // what a terminal would have shown, text
	ReportArtefact = "report" // as `build --json` prints it
)

// Service is what API and pages need. Errors that say NotFoundError,
// InvalidError, ConflictError or UnavailableError are told to the client as such.
type Service interface {
	Submit(ctx context.Context, s Submission) ([]Build, error)
	Build(ctx context.Context, id int64) (Build, error)
	Builds(ctx context.Context, f Filter) ([]Build, error) // newest first
	Cancel(ctx context.Context, id int64, client string) (Build, error)
	Retry(ctx context.Context, id int64, client string) (Build, error)
	// Events gives up to limit events after one. Where there are none yet, wait is
	// closed when there may be; it is nil if there will never be another.
	Events(ctx context.Context, build, after int64, limit int) (events []Event, wait <-chan struct{}, err error)
	Artefact(ctx context.Context, build int64, name string) (io.ReadCloser, error)

	Recipes(ctx context.Context) ([]RecipeInfo, error)
	Schedules(ctx context.Context) ([]Schedule, error)
	PutSchedule(ctx context.Context, s Schedule) (Schedule, error)
	DeleteSchedule(ctx context.Context, name string) error
	Outdated(ctx context.Context) (OutdatedReport, error)
	CheckOutdated(ctx context.Context, client string) error // begins a new check
	// Pushed rebuilds what a push to a git repository changed: recipes of
	// --recipes, if it is that repository.
	Pushed(ctx context.Context, p Push) ([]Build, error)
	State(ctx context.Context) (State, error)
}

// Push is what a webhook tells of a push to a git repository.
type Push struct {
	URLs   []string // of the repository, as it may be written
	Ref    string   // refs/heads/main
	Commit string
	Paths  []string // files that changed; nil: not known
	Sender string
}

// Registry is the registry whose contents are shown.
type Registry interface {
	// Images lists what it holds, sorted by repository and tag.
	Images(ctx context.Context) ([]Image, error)
}

// Image is a tag of the registry.
type Image struct {
	Repository string        `json:"repository"`
	Tag        string        `json:"tag"`
	Reference  string        `json:"reference"` // HOST/REPOSITORY:TAG, to pull
	Digest     digest.Digest `json:"digest"`
	Platforms  []string      `json:"platforms"`
	ISA        string        `json:"isa,omitempty"` // of the riscv64 image, for instance rv64gc
	Created    *time.Time    `json:"created,omitempty"`
	Bytes      int64         `json:"bytes"`        // compressed layers and configurations of all platforms
	Shared     int64         `json:"shared_bytes"` // of these, in other repositories or digests, too
	Problem    string        `json:"problem,omitempty"`
}

// Maker makes images in a state directory that other processes use, too.
type Maker interface {
	// Open waits until the state directory is free; waiting hears for whom.
	Open(ctx context.Context, waiting func(holder string)) (Bench, error)
	// Exit is the exit status that an error of a build stands for.
	Exit(ctx context.Context, err error) int
}

// Bench is a state directory that this process has to itself, and an engine.
// Its methods are called one after the other.
type Bench interface {
	Build(ctx context.Context, req builder.Request, show builder.Display) (*builder.Result, error)
	// Unchanged tells whether the registries that a request would be pushed to
	// hold its image already, made from the same inputs; the result says so.
	Unchanged(ctx context.Context, req builder.Request) (*builder.Result, bool, error)
	// Graph is the graph of a request in the form of GraphArtefact.
	Graph(ctx context.Context, req builder.Request) ([]byte, error)
	Outdated(ctx context.Context, requests []builder.Request) (*outdated.Report, error)
	// Close ends the engine and lets others into the state directory.
	Close() error
}

// The ways in which a client is wrong, or has to wait. Fields name the parts
// of an input that are, as in "options.mode".
type (
	// NotFoundError says that there is no such thing.
	NotFoundError struct{ What string }
	// InvalidError says what is wrong with an input.
	InvalidError struct {
		Field string // JSON path; may be empty
		Err   error
	}
	// ConflictError says that the state of a thing does not allow it.
	ConflictError struct{ Err error }
	// UnavailableError says that it may work later.
	UnavailableError struct {
		Err   error
		After time.Duration
	}
)

func (e *NotFoundError) Error() string    { return fmt.Sprintf("looking for %s: there is none", e.What) }
func (e *InvalidError) Error() string     { return e.Err.Error() }
func (e *InvalidError) Unwrap() error     { return e.Err }
func (e *ConflictError) Error() string    { return e.Err.Error() }
func (e *ConflictError) Unwrap() error    { return e.Err }
func (e *UnavailableError) Error() string { return e.Err.Error() }
func (e *UnavailableError) Unwrap() error { return e.Err }

// ErrStopping is the cause of builds that end because the service does.
var ErrStopping = errors.New("the service is ending")
