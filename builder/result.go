package builder

import (
	"math"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/pusher/imagestore"
	"github.com/riscv-build/riscv-build/recipes"
)

// Result is what a build leaves to report; its JSON form is that of
// `riscv-build --json`.
type Result struct {
	Name            string             `json:"name"`
	Version         string             `json:"version"`
	Mode            string             `json:"mode"`
	Engine          string             `json:"engine"`
	Worker          string             `json:"worker,omitempty"` // what ran its commands: runc or containerd; absent if nothing was solved
	Digest          digest.Digest      `json:"digest"`           // of the image manifest
	ConfigDigest    digest.Digest      `json:"config_digest"`
	Tags            []string           `json:"tags"`             // references the image has in registries
	Loaded          *imagestore.Loaded `json:"loaded,omitempty"` // into a container engine of this machine
	Layers          []LayerResult      `json:"layers"`
	Stages          map[string]float64 `json:"stages"` // seconds
	DownloadedBytes int64              `json:"downloaded_bytes"`
	UploadedBytes   int64              `json:"uploaded_bytes"`
	UploadedBlobs   int                `json:"uploaded_blobs"`
	Cached          bool               `json:"cached"` // nothing had to be built
	Tests           []TestResult       `json:"tests"`
	Notes           []string           `json:"notes,omitempty"`   // for instance allow_expired, a replaced lock
	Outcome         string             `json:"outcome,omitempty"` // "unchanged": the registries hold it, nothing was done
	Base            *Result            `json:"base,omitempty"`    // of the recipe whose image this one is built on
	Stage           string             `json:"stage,omitempty"`   // that failed
	Error           string             `json:"error"`

	current string       // stage
	begin   func(string) // hears which one begins; nil: nobody
}

// LayerResult is a compressed layer; Size is in bytes.
type LayerResult struct {
	Digest digest.Digest `json:"digest"`
	Size   int64         `json:"size"`
}

// TestResult is the outcome of one [[test]].
type TestResult struct {
	Name    string  `json:"name"`
	OK      bool    `json:"ok"`
	Cached  bool    `json:"cached"`
	Seconds float64 `json:"seconds"`
	Detail  string  `json:"detail,omitempty"` // of a failed one: what was expected, what came
}

// Stages are the timed steps of a build, in order.
var Stages = []string{"lock", "fetch", "graph", "engine", "check", "push"}

func newResult(r *recipes.Recipe) *Result {
	res := &Result{Name: r.Name, Version: r.Version, Tags: []string{}, Layers: []LayerResult{}, Tests: []TestResult{}, Stages: map[string]float64{}}
	for _, s := range Stages {
		res.Stages[s] = 0
	}
	return res
}

func (r *Result) built(p *plan, img *built) {
	r.Mode, r.Engine, r.Worker = string(p.mode), img.engine, img.worker
	r.Digest, r.ConfigDigest, r.Cached = img.desc.Digest, img.manifest.Config.Digest, img.cached
	r.Notes = p.notes
	for _, l := range img.manifest.Layers {
		r.Layers = append(r.Layers, LayerResult{l.Digest, l.Size})
	}
}

// round gives seconds with millisecond resolution.
func round(d time.Duration) float64 { return math.Round(d.Seconds()*1000) / 1000 }
