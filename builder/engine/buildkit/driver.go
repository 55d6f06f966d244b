// Package buildkit drives a BuildKit through its client: graphs are solved into
// OCI layouts, images are run as containers with probes beside them. Where the
// BuildKit runs, in this process or on another machine, and how it is reached
// is for the engines that use the package. It knows no recipes and makes no graphs.
package buildkit

import (
	"io"

	"github.com/moby/buildkit/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/riscv-build/riscv-build/builder/engine"
)

// product names this client in BuildKit's protocol.
const product = "riscv-build"

// Target is the platform of every image that is built.
var Target = ocispec.Platform{OS: "linux", Architecture: "riscv64"}

// EmulatorLabel is the label of a worker of this program that names what runs
// riscv64 code there: engine.Info.Emulator.
const EmulatorLabel = "riscv-build.emulator"

// Place is what a driver must know of where its BuildKit runs.
type Place interface {
	// Direct takes over the streams of a process that is to be started with
	// env, and gives the environment that tells it so; undo is called when it
	// could not be started. A nil undo: the streams go over the connection.
	Direct(env []string, s *Streams) (told []string, undo func())
	// Far tells that what is sent there goes over a network.
	Far() bool
	// Explain gives what is behind an error of BuildKit in the words of the
	// contract, nil if it knows no better. step is the command that failed, nil
	// if none did.
	Explain(err error, step *engine.ExecError) error
}

// Streams are the standard streams of a process.
type Streams struct {
	Stdin          io.ReadCloser // nil: nothing
	Stdout, Stderr io.WriteCloser
}

// Driver solves graphs and runs images on one BuildKit. Its methods may be
// called concurrently.
type Driver struct {
	client *client.Client
	place  Place
}

// New is a driver of the BuildKit that a client is connected to.
func New(c *client.Client, place Place) *Driver { return &Driver{client: c, place: place} }
