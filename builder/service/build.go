package service

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/builder"
)

// Status is where a build stands.
type Status string

// The states of a build. The last three are final.
const (
	Queued    Status = "queued"
	Running   Status = "running"
	Succeeded Status = "succeeded"
	Failed    Status = "failed"
	Cancelled Status = "cancelled"
)

// Statuses are all states, in the order of a build's life.
var Statuses = []Status{Queued, Running, Succeeded, Failed, Cancelled}

// Final tells whether a build with this status has ended.
func (s Status) Final() bool { return slices.Contains([]Status{Succeeded, Failed, Cancelled}, s) }

// Origin says where the recipe of a build is from.
type Origin struct {
	Kind   string `json:"kind" enum:"catalog,recipes,upload,git"` // recipes: the directory or repository of --recipes
	URL    string `json:"url,omitempty"`                          // of the git repository
	Ref    string `json:"ref,omitempty"`                          // branch, tag or commit that was asked for
	Commit string `json:"commit,omitempty"`                       // that it was then
	Path   string `json:"path,omitempty"`                         // of the recipe file in the tree; catalog: the recipe's name
}

// The kinds of Origin.
const (
	FromCatalog = "catalog"
	FromRecipes = "recipes"
	FromUpload  = "upload"
	FromGit     = "git"
)

// Options are those of builder.Request that one who submits may choose.
type Options struct {
	Push    []string `json:"push,omitempty"`    // HOST[:PORT][/PREFIX]; empty: what the service is configured to push to
	NoPush  bool     `json:"no_push,omitempty"` // push nowhere, although the service has a default
	Tags    []string `json:"tags,omitempty"`    // replace the recipe's
	Mode    string   `json:"mode,omitempty" enum:"auto,cross,emulate,native"`
	Index   bool     `json:"index,omitempty"`    // put the image into the index at its tags
	Locked  bool     `json:"locked,omitempty"`   // a missing or stale lock is an error
	Update  bool     `json:"update,omitempty"`   // resolve again although the lock is good
	NoCache bool     `json:"no_cache,omitempty"` // build and test anew although nothing changed
	Changed bool     `json:"changed,omitempty"`  // leave out what the registries hold already, made from the same inputs
}

// The causes of builds.
const (
	ByAPI      = "api" // the API, the page or a command on this machine
	BySchedule = "schedule"
	ByWebhook  = "webhook"
	ByRetry    = "retry"
)

// Build is one image that somebody asked for.
type Build struct {
	ID      int64         `json:"id"` // grows
	Recipe  string        `json:"recipe"`
	Version string        `json:"version"`
	Origin  Origin        `json:"origin"`
	Options Options       `json:"options"`
	Status  Status        `json:"status"`
	Stage   string        `json:"stage,omitempty"` // of builder.Stages, while it runs or where it failed
	Client  string        `json:"client"`          // who asked: the name of a token, "local", "schedule NAME", "webhook NAME"
	Cause   string        `json:"cause"`           // ByAPI ...
	Tree    digest.Digest `json:"tree,omitempty"`  // of the recipe files as they were submitted; "" for the catalogue
	Inputs  digest.Digest `json:"inputs"`          // of all that decides the result: recipe files, options, program; the same: built once
	SameAs  int64         `json:"same_as,omitempty"`
	RetryOf int64         `json:"retry_of,omitempty"`
	Attempt int           `json:"attempt"` // how often it was started; more than 1 after the service had ended under it
	Created time.Time     `json:"created"`
	Started *time.Time    `json:"started,omitempty"`
	Ended   *time.Time    `json:"ended,omitempty"`
	Error   string        `json:"error,omitempty"`
	Exit    int           `json:"exit"` // what `riscv-build build` would have ended with

	Result *builder.Result `json:"result,omitempty"`
}

// The kinds of Event.
const (
	StatusEvent = "status" // Data: StatusData
	StageEvent  = "stage"  // Data: StageData
	NoticeEvent = "notice" // Data: NoticeData
	VertexEvent = "vertex" // Data: VertexData
	LogEvent    = "log"    // Data: LogData
)

// Event is something that happened to a build. A build has events 1, 2, 3, ...
// without a gap; the last one is a StatusEvent with a final status.
type Event struct {
	Build int64           `json:"build"`
	Seq   int64           `json:"seq"`
	Time  time.Time       `json:"time"`
	Kind  string          `json:"kind" enum:"status,stage,notice,vertex,log"`
	Data  json.RawMessage `json:"data"`
}

// StatusData says that a build has another status.
type StatusData struct {
	Status  Status `json:"status"`
	Attempt int    `json:"attempt,omitempty"`
	Why     string `json:"why,omitempty"`     // for instance: the service had ended under it
	Error   string `json:"error,omitempty"`   // Failed, Cancelled
	Digest  string `json:"digest,omitempty"`  // Succeeded: of the image's manifest
	SameAs  int64  `json:"same_as,omitempty"` // the build that is made for both
}

// StageData names the stage of builder.Stages that begins.
type StageData struct {
	Stage string `json:"stage"`
}

// NoticeData is a message for people.
type NoticeData struct {
	Text string `json:"text"`
}

// VertexData is a step of the graph, each time its state changes.
type VertexData struct {
	Digest    digest.Digest   `json:"digest"`
	Name      string          `json:"name"`
	Inputs    []digest.Digest `json:"inputs,omitempty"`
	Started   *time.Time      `json:"started,omitempty"`
	Completed *time.Time      `json:"completed,omitempty"`
	Cached    bool            `json:"cached,omitempty"`
	Error     string          `json:"error,omitempty"`
}

// LogData is what a step printed: whole lines where it prints lines.
type LogData struct {
	Vertex digest.Digest `json:"vertex,omitempty"`
	Stream int           `json:"stream"` // 1 standard output, 2 standard error
	Text   string        `json:"text"`
}
