// Package embedded is the engine that runs BuildKit inside this process: its
// solver and a worker, reached by BuildKit's own client over a pipe in memory.
// The worker runs containers with runc, and keeps all below its directory, or it
// uses a containerd that is there anyway, as on every node of Kubernetes: its
// content store, snapshotter and runtime. It knows nothing of recipes. It works
// on Linux as root; elsewhere Open says so.
//
// Graphs that it solves have no network, whatever network mode they ask for.
package embedded

import "io"

// Options tell Open where and how an engine works.
type Options struct {
	Root    string // directory for the engine's cache; only a cache, made when missing
	GCLimit int64  // bytes the cache may hold when the engine closes; 0: no limit
	// Containerd is the path of the socket of the containerd to use; empty: runc.
	// An engine keeps a namespace of its own there, named after Root.
	Containerd string
	Debug      io.Writer // what BuildKit and containerd log; nil: nothing
	// Notice is told, in one line each, what the user should know: somebody
	// else uses Root, the remains of a crash were cleared. nil: nobody is told.
	Notice func(format string, args ...any)

	bounds      // of what containers take
	shared bool // others use it: its worker says what runs riscv64 programs
}

// bounds are what the containers of an engine may take of the machine together.
// Zero is what suits the machine.
type bounds struct {
	memory int64 // bytes
	pids   int64 // processes and threads
}

func (o Options) notice(format string, args ...any) {
	if o.Notice != nil {
		o.Notice(format, args...)
	}
}
