// Package engine is the contract between the pipeline and whatever runs a
// graph: two verbs, Solve (a graph to an OCI layout) and Run (an image, a
// process, probes). The engines are in packages below; this one runs nothing.
package engine

import (
	"context"
	"io"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/moby/buildkit/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// StoreName is the name under which a job's content store is known in a graph:
// llb.OCILayout(ref, llb.OCIStore("", StoreName)).
const StoreName = "riscv-build"

// Engine solves graphs and runs images.
type Engine interface {
	// Solve solves the graph and exports its result, layers uncompressed, as an OCI layout directory into job.Output.
	Solve(ctx context.Context, job Job) error
	// Run starts an image that lies in a content store and waits for its end.
	Run(ctx context.Context, run Run) (*RunResult, error)
	// Info tells what the engine is.
	Info(ctx context.Context) (Info, error)
	Close() error
}

// Info describes an engine.
type Info struct {
	Name      string             // "embedded", or how one elsewhere is reached: "ssh"
	Worker    string             // "runc", "containerd"
	Version   string             // of BuildKit; "" if it does not say
	Elsewhere bool               // not in this process: its processors and memory are not known
	Platform  ocispec.Platform   // of the machine that executes
	Platforms []ocispec.Platform // all that execute there, that one first
	Emulator  string             // identity of what runs riscv64 code: QEMU version or kernel release; enters the key of cached test results
}

// Job is one graph to solve.
type Job struct {
	Name       string            // shown in progress: the recipe
	Definition []byte            // marshalled pb.Definition
	Store      content.Store     // what OCI layout references of the graph name
	Output     string            // directory; empty: solve only
	Secrets    map[string][]byte // not part of the graph's bytes, e.g. "jobs": number of make jobs
	NoCache    bool
	Progress   Progress // nil: none
}

// Run is a container of an image with one main process and at most one probe.
type Run struct {
	Name    string
	Image   ocispec.Descriptor // manifest, in Store
	Store   content.Store
	Args    []string // the whole command line
	Env     []string // the image's and the test's
	User    string
	Cwd     string
	Stdin   []byte
	Timeout time.Duration // of the whole run; exceeding it is not an error but RunResult.TimedOut
	Probe   *Probe        // started beside the main process; when it is done, the main process is stopped
}

// Probe is a second process in the container (same network namespace, loopback only).
// Mount is a manifest in Run.Store whose root is mounted at MountPath; what is written there is forgotten.
// Args must end with status 0, also after SIGTERM: an engine elsewhere takes
// another status for the failure of the whole container.
type Probe struct {
	Mount     ocispec.Descriptor
	MountPath string
	Args      []string
	// Attempt drives one started probe process: it writes to stdin, reads
	// stdout and says whether the probe is satisfied. It is called again,
	// with a fresh process, until it returns done or the run times out.
	Attempt func(ctx context.Context, stdin io.WriteCloser, stdout io.Reader) (done bool, err error)
}

// RunResult is what a run left behind.
type RunResult struct {
	Exit     int    // exit status of the main process; with a satisfied probe 0
	Stdout   []byte // at most 1 MiB, the tail
	Stderr   []byte
	Probed   bool  // the probe was satisfied
	ProbeErr error // why it last was not
	TimedOut bool
}

// Progress receives what a job does; the display package makes one.
// The channel form of BuildKit is avoided: an engine must never block on a display.
type Progress interface {
	Status(*client.SolveStatus)
}
