package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/builder/batch"
	"github.com/riscv-build/riscv-build/builder/graph"
	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/builder/service/screen"
)

// cancelTime is how long a batch that is interrupted takes to end its build.
const cancelTime = 5 * time.Second

// batch works through a batch by a service. What the batch keeps for itself,
// logs above all, has a directory of its own: the one beside it is of batches
// that have the state directory to themselves.
func (d *distantBuild) batch(items []batch.Item) error {
	options, err := d.options()
	if err != nil {
		return err
	}
	dir := filepath.Join(d.place.stateDir, "by-service")
	b, err := batch.New(items, 1, dir) // a service builds one recipe at a time
	if err != nil {
		return err
	}
	show, meter := batch.NewScreen(d.place.display, dir), &batch.Meter{}
	report, err := b.Run(d.c.Context, batch.Options{
		StateDir: dir, Version: programVersion(), ExitCode: exitCode, Screen: show, Meter: meter,
		Work:         &serviceWork{distantBuild: d, options: options, show: show, meter: meter},
		EngineStarts: func() int { return 0 }, // those of the service are its own
		KeepGoing:    d.c.Bool("keep-going"),
	})
	return errors.Join(err, giveReport(d.c, report))
}

// serviceWork is a service at work for a batch.
type serviceWork struct {
	*distantBuild
	options service.Options
	show    *batch.Screen
	meter   *batch.Meter
}

var _ batch.Work = (*serviceWork)(nil)

// Build has the service make an image. It ends the build if ctx ends.
func (w *serviceWork) Build(ctx context.Context, req builder.Request) (*builder.Result, error) {
	s, err := submissionOf(req.Recipe, w.options)
	if err != nil {
		return nil, err
	}
	builds, err := w.Submit(ctx, s.Submission)
	if err == nil && len(builds) != 1 {
		err = fmt.Errorf("building recipe %q by a service: it makes %d builds of it: use a riscv-build of the same version", req.Recipe.Name, len(builds))
	}
	if err != nil {
		return nil, fromService(err)
	}
	b, steps, err := w.watch(ctx, builds[0], req)
	if err != nil {
		return nil, err
	}
	if err := w.count(ctx, b, steps); err != nil {
		w.show.Verbose("%s: counting its commands: %v", b.Recipe, err)
	}
	result, err := ending(b)
	if result == nil {
		result = &builder.Result{Name: b.Recipe, Version: b.Version, Stage: b.Stage, Stages: map[string]float64{}}
	}
	if err == nil {
		err = s.keepLock(ctx, w.Client, b)
	}
	return result, err
}

// watch shows a build until it has ended, and gives what became of its steps.
func (w *serviceWork) watch(ctx context.Context, b service.Build, req builder.Request) (service.Build, map[digest.Digest]service.VertexData, error) {
	steps := map[digest.Digest]service.VertexData{}
	show := &screen.Screen{Name: req.Recipe.Name, To: w.show}
	err := w.FollowWhole(ctx, b.ID, func(e service.Event) error {
		var d struct {
			service.VertexData
			Status service.Status `json:"status"`
			Stage  string         `json:"stage"`
		}
		switch err := json.Unmarshal(e.Data, &d); {
		case err != nil: // show says so
		case e.Kind == service.VertexEvent:
			steps[d.Digest] = d.VertexData
		case e.Kind == service.StageEvent:
			req.Stage(d.Stage)
		case e.Kind == service.StatusEvent && d.Status == service.Queued:
			req.Stage("queued")
		}
		return show.Show(e)
	})
	show.Close()
	if ctx.Err() != nil {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelTime)
		defer cancel()
		_, stop := w.Cancel(last, b.ID)
		return b, steps, errors.Join(fmt.Errorf("building recipe %q by a service: %w", b.Recipe, context.Cause(ctx)), stop)
	}
	if err == nil {
		b, err = w.Client.Build(ctx, b.ID)
	}
	return b, steps, fromService(err)
}

// count counts the commands among the steps of a build, as the meter of an
// engine of this process would.
func (w *serviceWork) count(ctx context.Context, b service.Build, steps map[digest.Digest]service.VertexData) error {
	for r := b.Result; r != nil; r = r.Base {
		if r.Engine != "" && r.Engine != "none" {
			w.meter.Used(r.Engine)
		}
	}
	if len(steps) == 0 {
		return nil
	}
	r, err := w.Artefact(ctx, b.ID, service.GraphArtefact)
	if err != nil {
		return err
	}
	var ops []graph.Vertex
	err = json.NewDecoder(r).Decode(&ops)
	for _, op := range ops {
		s, ok := steps[op.Digest]
		switch {
		case !ok || op.Kind != "exec":
		case s.Cached:
			w.meter.Hit(op.Digest)
		case s.Started != nil && s.Completed != nil && s.Error == "":
			w.meter.Ran(op.Digest, *s.Started)
		}
	}
	return errors.Join(err, r.Close())
}

// Inputs are not known: they are the service's to say.
func (w *serviceWork) Inputs(builder.Request) string { return "" }

// Outlook is for plans, which are made here.
func (w *serviceWork) Outlook(context.Context, builder.Request) (builder.Outlook, error) {
	return builder.Outlook{}, nil
}

// Assembled counts nothing: the service does not tell of its layers.
func (w *serviceWork) Assembled() (layers, repeated int) { return 0, 0 }
