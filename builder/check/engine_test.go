package check

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"

	"github.com/riscv-build/riscv-build/builder/engine"
)

// fakeEngine is the contract of package engine in memory. A container's
// program is a result; its port is a function that serves one connection.
type fakeEngine struct {
	result engine.RunResult
	err    error
	serve  func(conn io.ReadWriter) // nil: nothing listens
	table  string                   // /proc/net/tcp
	exits  bool                     // the program ends without waiting for a probe
	runs   []engine.Run
	probes int
}

var _ engine.Engine = (*fakeEngine)(nil)

func (f *fakeEngine) Solve(context.Context, engine.Job) error { return errors.New("not used") }
func (f *fakeEngine) Close() error                            { return nil }
func (f *fakeEngine) Info(context.Context) (engine.Info, error) {
	return engine.Info{Name: "fake", Emulator: "fake 1"}, nil
}

func (f *fakeEngine) Run(ctx context.Context, run engine.Run) (*engine.RunResult, error) {
	f.runs = append(f.runs, run)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	result := f.result
	if run.Probe == nil || f.err != nil {
		return &result, f.err
	}
	ctx, cancel := context.WithTimeout(ctx, run.Timeout)
	defer cancel()
	for !result.Probed && ctx.Err() == nil {
		result.Probed, result.ProbeErr = f.attempt(ctx, run.Probe)
		if f.exits {
			return &result, nil
		}
	}
	result.TimedOut = !result.Probed
	return &result, nil
}

// attempt is one probe process: busybox nc, or cat of the table of sockets.
func (f *fakeEngine) attempt(ctx context.Context, p *engine.Probe) (bool, error) {
	f.probes++
	fromClient, stdin := io.Pipe()
	stdout, toClient := io.Pipe()
	go func() {
		defer toClient.Close()
		switch {
		case slices.Contains(p.Args, "cat"):
			_, _ = io.WriteString(toClient, f.table)
		case f.serve == nil: // refused: nc ends at once
			fromClient.CloseWithError(io.ErrClosedPipe)
		default:
			f.serve(struct {
				io.Reader
				io.Writer
			}{fromClient, toClient})
			toClient.Close() // the server closes the connection, and nc ends
			_, _ = io.Copy(io.Discard, fromClient)
		}
	}()
	done, err := p.Attempt(ctx, stdin, stdout)
	stdout.Close()
	fromClient.Close()
	return done, err
}

// web serves one HTTP request with a handler.
func web(handler http.HandlerFunc) func(io.ReadWriter) {
	return func(conn io.ReadWriter) {
		req, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			return
		}
		rec := httptest.NewRecorder()
		handler(rec, req)
		_ = rec.Result().Write(conn)
	}
}
