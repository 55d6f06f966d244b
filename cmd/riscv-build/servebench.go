package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/builder/display"
	"github.com/riscv-build/riscv-build/builder/engine"
	"github.com/riscv-build/riscv-build/builder/engine/statelock"
	"github.com/riscv-build/riscv-build/builder/graph"
	"github.com/riscv-build/riscv-build/builder/host"
	"github.com/riscv-build/riscv-build/builder/outdated"
	"github.com/riscv-build/riscv-build/builder/service"
)

// maker opens the state directory for the builds of the service.
type maker struct {
	c       *cli.Context
	log     *slog.Logger // what belongs to no build
	secrets *secrets
	own     string // as in place
}

var _ service.Maker = (*maker)(nil)

// Open reads configuration anew, waits for the state directory and makes a
// builder in it.
func (m *maker) Open(ctx context.Context, waiting func(holder string)) (service.Bench, error) {
	p, err := quietPlace(m.c, m.log)
	if err != nil {
		return nil, err
	}
	p.own = m.own
	m.secrets.read(m.log)
	b := &bench{session: &session{place: p}, show: &relay{log: m.log}}
	cfg, err := b.configure(m.c)
	if err != nil {
		return nil, err
	}
	cfg.Display = b.show
	return b, b.enter(ctx, cfg, func(h statelock.Holder) { waiting(h.String()) })
}

// quietPlace is the place of this machine with a display that shows notices
// only, as lines of a log.
func quietPlace(c *cli.Context, log *slog.Logger) (*place, error) {
	p, err := findPlace(c)
	if err != nil {
		return nil, err
	}
	p.display, err = display.New(logLines{log}, "quiet", c.Bool("verbose"))
	return p, err
}

// logLines writes lines to a log.
type logLines struct{ log *slog.Logger }

var _ io.Writer = logLines{}

// Write takes whole lines.
func (l logLines) Write(b []byte) (int, error) {
	if text := strings.TrimSpace(string(b)); text != "" {
		l.log.Info(text)
	}
	return len(b), nil
}

// Exit is the exit status that `build` ends with after this error.
func (m *maker) Exit(ctx context.Context, err error) int { return exitCode(ctx, err) }

// bench is a session whose builds are shown to different displays.
type bench struct {
	*session
	show *relay
}

// Build makes one image and shows how, to show.
func (b *bench) Build(ctx context.Context, req builder.Request, show builder.Display) (*builder.Result, error) {
	defer b.show.use(show)()
	return b.buildOne(false)(ctx, req)
}

// Unchanged tells whether the registries hold what a request is for.
func (b *bench) Unchanged(ctx context.Context, req builder.Request) (*builder.Result, bool, error) {
	return b.builder.Unchanged(ctx, req)
}

// Graph is what `graph --format json` prints.
func (b *bench) Graph(ctx context.Context, req builder.Request) ([]byte, error) {
	definition, err := b.builder.Graph(ctx, req)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = graph.Print(&out, definition, "json")
	return out.Bytes(), err
}

// Outdated looks for newer versions.
func (b *bench) Outdated(ctx context.Context, requests []builder.Request) (*outdated.Report, error) {
	return b.builder.Outdated(ctx, requests)
}

// Close ends the engine and lets others into the state directory.
func (b *bench) Close() error {
	err := b.close()
	b.builder, b.engine = nil, nil
	return errors.Join(err, giveBack())
}

// giveBack returns memory to the machine: the service may be idle for days.
func giveBack() error {
	debug.FreeOSMemory()
	return host.ReleaseProgram()
}

// relay is a display that shows to another, which changes. Without one it goes
// to the log.
type relay struct {
	log *slog.Logger

	mu sync.Mutex
	to builder.Display
}

var _ builder.Display = (*relay)(nil)

// use shows to a display until done.
func (r *relay) use(to builder.Display) (done func()) {
	set := func(to builder.Display) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.to = to
	}
	set(to)
	return func() { set(nil) }
}

func (r *relay) now() builder.Display {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.to
}

// Notice is what a user should see.
func (r *relay) Notice(format string, args ...any) {
	if to := r.now(); to != nil {
		to.Notice(format, args...)
		return
	}
	r.log.Info(fmt.Sprintf(format, args...))
}

// Verbose is what was decided and why.
func (r *relay) Verbose(format string, args ...any) {
	if to := r.now(); to != nil {
		to.Verbose(format, args...)
	}
}

// Progress takes the engine's part of one recipe.
func (r *relay) Progress(name string) engine.Progress {
	if to := r.now(); to != nil {
		return to.Progress(name)
	}
	return nil
}
