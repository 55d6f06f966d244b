// Package embedded is the engine that runs BuildKit inside this process: its
// solver and its runc worker, reached by BuildKit's own client over a pipe in
// memory, so that nothing has to be installed but runc. It knows nothing of
// recipes. It works on Linux as root; elsewhere Open says so.
//
// Graphs that it solves have no network, whatever network mode they ask for.
package embedded

import "io"

// Options tell Open where and how an engine works.
type Options struct {
	Root    string    // directory for the engine's cache; only a cache, made when missing
	GCLimit int64     // bytes the cache may hold when the engine closes; 0: no limit
	Debug   io.Writer // what BuildKit and containerd log; nil: nothing
	// Notice is told, in one line each, what the user should know: somebody
	// else uses Root, the remains of a crash were cleared. nil: nobody is told.
	Notice func(format string, args ...any)
}

func (o Options) notice(format string, args ...any) {
	if o.Notice != nil {
		o.Notice(format, args...)
	}
}
