package buildkit

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/moby/buildkit/client"
	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	solvererrors "github.com/moby/buildkit/solver/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/riscv-build/riscv-build/builder/engine"
)

const (
	logLines    = 40       // of a failing step, quoted in the error
	logTailSize = 64 << 10 // bytes kept of each step's output
)

func digestOf(b []byte) digest.Digest { return digest.FromBytes(b) }

// watcher reads a build's status, hands it on, and keeps what an error message needs.
type watcher struct {
	statuses chan *client.SolveStatus // closed by BuildKit's client at the end
	done     chan struct{}
	progress engine.Progress

	names map[digest.Digest]string
	logs  map[digest.Digest]*tail
}

func newWatcher(progress engine.Progress) *watcher {
	w := &watcher{
		statuses: make(chan *client.SolveStatus, 16),
		done:     make(chan struct{}),
		progress: progress,
		names:    map[digest.Digest]string{},
		logs:     map[digest.Digest]*tail{},
	}
	go func() {
		defer close(w.done)
		for s := range w.statuses {
			w.note(s)
			if progress != nil {
				progress.Status(s)
			}
		}
	}()
	return w
}

// wait returns when the whole status has been read; the fields may be read then.
func (w *watcher) wait() { <-w.done }

func (w *watcher) note(s *client.SolveStatus) {
	for _, v := range s.Vertexes {
		w.names[v.Digest] = v.Name
		// What a step printed before it succeeded explains no failure.
		if v.Completed != nil && v.Error == "" {
			delete(w.logs, v.Digest)
		}
	}
	for _, l := range s.Logs {
		t := w.logs[l.Vertex]
		if t == nil {
			t = newTail(logTailSize)
			w.logs[l.Vertex] = t
		}
		_, _ = t.Write(l.Data) // never fails
	}
}

// execError is the error of a command with an exit status, or nil for any other error.
func (w *watcher) execError(err error) *engine.ExecError {
	var exit *gatewaypb.ExitError
	if !errors.As(err, &exit) {
		return nil
	}
	failed := &engine.ExecError{Step: "a step without a name", Exit: int(exit.ExitCode)}
	var vertex *solvererrors.VertexError
	if errors.As(err, &vertex) {
		id := digest.Digest(vertex.Digest)
		if name := w.names[id]; name != "" {
			failed.Step = name
		}
		if log := w.logs[id]; log != nil {
			failed.Log = lastLines(log.Bytes(), logLines)
		}
	}
	// A command that could not even be started has no output; runc's words are all there is.
	if failed.Log == "" && exit.Err != nil {
		failed.Log = exit.Err.Error()
	}
	return failed
}

// lastLines gives the last n lines of an output, terminal carriage returns resolved.
func lastLines(out []byte, n int) string {
	lines := bytes.Split(bytes.TrimRight(out, "\r\n"), []byte("\n"))
	lines = lines[max(0, len(lines)-n):]
	text := make([]string, 0, len(lines))
	for _, line := range lines {
		line = bytes.TrimRight(line, "\r")
		text = append(text, string(line[bytes.LastIndexByte(line, '\r')+1:]))
	}
	return strings.Join(slices.Clip(text), "\n")
}
