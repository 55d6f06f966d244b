package batch

import (
	"time"

	"github.com/opencontainers/go-digest"
)

// Report is what a batch leaves behind, whatever its end was; its JSON form is
// that of `riscv-build batch --json` and of `--report FILE.json`.
type Report struct {
	Tool    string    `json:"tool"` // version of riscv-build
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"`
	Engine  string    `json:"engine"` // that commands ran on; "none" if none was needed
	Targets []string  `json:"targets"`
	Recipes []Entry   `json:"results"` // in the order of the plan
	Totals  Totals    `json:"totals"`
	Exit    int       `json:"exit"`  // status of the run
	Error   string    `json:"error"` // of the run as a whole, where no recipe has it
}

// Outcome says what became of a recipe.
type Outcome string

// The outcomes of a recipe.
const (
	Built       Outcome = "built"       // made, checked, tested, pushed; Cached tells whether there was anything to make
	Unchanged   Outcome = "unchanged"   // the registry has it with the same inputs (--changed)
	Resumed     Outcome = "resumed"     // the run that this one resumes had finished it
	Failed      Outcome = "failed"      //
	Blocked     Outcome = "blocked"     // the recipe that it is based on has no image
	NotStarted  Outcome = "not started" // another recipe had failed, or the batch was interrupted, before its turn
	Interrupted Outcome = "interrupted" // while it was worked on
)

// Outcomes are all of them, in the order of a summary.
var Outcomes = []Outcome{Built, Unchanged, Resumed, Failed, Blocked, Interrupted, NotStarted}

// OK tells whether the image is where it was to be put.
func (o Outcome) OK() bool { return o == Built || o == Unchanged || o == Resumed }

// Entry is one recipe of a report.
type Entry struct {
	Name       string             `json:"name"`
	Version    string             `json:"version"`
	File       string             `json:"file"` // as the user gave it; catalog:NAME.toml for one of the catalogue
	Base       string             `json:"base"` // name of the recipe whose image this one stands on; empty: none
	Outcome    Outcome            `json:"outcome"`
	Why        string             `json:"why,omitempty"` // it was blocked, not started, unchanged
	Cached     bool               `json:"cached"`        // built: nothing had to be made
	Stage      string             `json:"stage"`         // that failed: load, changed, or one of builder.Stages
	Error      string             `json:"error"`
	Exit       int                `json:"exit"` // status that a build of this recipe alone would end with
	Kind       string             `json:"kind"` // of Exit, in a word: build, recipe, environment, network, interrupted; empty: 0
	Problems   []Problem          `json:"problems,omitempty"`
	Log        string             `json:"log,omitempty"` // path of the output of its commands, of one that failed
	Tests      []Test             `json:"tests"`
	Seconds    float64            `json:"seconds"`
	Stages     map[string]float64 `json:"stages"` // seconds by stage
	Digest     digest.Digest      `json:"digest"`
	References []string           `json:"tags"` // that the image has in registries
	Size       int64              `json:"size"` // bytes of its layers, compressed
	Layers     []Layer            `json:"layers"`
	Downloaded int64              `json:"downloaded_bytes"`
	Uploaded   int64              `json:"uploaded_bytes"`
	Notes      []string           `json:"notes,omitempty"`
}

// Problem points at a place of a recipe file.
type Problem struct {
	File string `json:"file"`
	Line int    `json:"line"` // 0: the whole file
	What string `json:"what"`
	Do   string `json:"do"`
}

// Test is one [[test]] that was run.
type Test struct {
	Name    string  `json:"name"`
	Passed  bool    `json:"passed"`
	Cached  bool    `json:"cached"` // it had passed before
	Seconds float64 `json:"seconds"`
	Output  string  `json:"output,omitempty"` // of a failed one: what was expected, what came, the last lines of output
}

// Layer is a compressed layer of an image; Size is in bytes.
type Layer struct {
	Digest digest.Digest `json:"digest"`
	Size   int64         `json:"size"`
}

// Totals sum a batch up.
type Totals struct {
	Recipes      int             `json:"recipes"`
	Outcomes     map[Outcome]int `json:"outcomes"`
	Tests        int             `json:"tests"`
	TestsFailed  int             `json:"tests_failed"`
	TestsCached  int             `json:"tests_cached"`
	EngineStarts int             `json:"engine_starts"`
	Filesystems  Filesystems     `json:"filesystems"`
	Execs        Execs           `json:"execs"`
	Downloaded   int64           `json:"downloaded_bytes"`
	Uploaded     int64           `json:"uploaded_bytes"`
	LayerBytes   LayerBytes      `json:"layer_bytes"`
}

// Filesystems count the layers of packages that were assembled: root file
// systems of tool chains, sysroots and images, and the parts of these.
type Filesystems struct {
	Assembled int `json:"assembled"` // made now
	Repeated  int `json:"repeated"`  // of these, such as had been made already in this batch: 0 if sharing works
}

// Execs count the commands of graphs.
type Execs struct {
	Run      int `json:"run"`      // executed now
	Cached   int `json:"cached"`   // known to the engine, not executed
	Repeated int `json:"repeated"` // of those run, such as had run already in this batch: 0 if sharing works
}

// LayerBytes compare what the images share.
type LayerBytes struct {
	Unique   int64 `json:"unique"`   // each layer counted once
	Unshared int64 `json:"unshared"` // each image counted by itself
}
