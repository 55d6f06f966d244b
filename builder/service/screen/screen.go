// Package screen shows the events of a build of the service on the display of
// the one who follows it, as a build of that machine would look. It is not for
// pages.
package screen

import (
	"encoding/json"
	"fmt"
	"io"

	bkclient "github.com/moby/buildkit/client"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/builder/engine"
	"github.com/riscv-build/riscv-build/builder/service"
)

// Screen shows the events of one build.
type Screen struct {
	Name string          // of the recipe
	To   builder.Display // of this machine

	graph engine.Progress // of the engine's part, while there is one
	begun bool            // graph was asked for, and may be nil
}

// Show takes the events in their order.
func (s *Screen) Show(e service.Event) error {
	var err error
	switch e.Kind {
	case service.StatusEvent:
		err = with(e, s.status)
	case service.StageEvent:
		err = with(e, func(d service.StageData) {
			s.Close()
			s.To.Verbose("%s: %s", s.Name, d.Stage)
		})
	case service.NoticeEvent:
		err = with(e, func(d service.NoticeData) { s.To.Notice("%s", d.Text) })
	case service.VertexEvent:
		err = with(e, s.vertex)
	case service.LogEvent:
		err = with(e, func(d service.LogData) {
			s.solve(&bkclient.SolveStatus{Logs: []*bkclient.VertexLog{{Vertex: d.Vertex, Stream: d.Stream, Data: []byte(d.Text), Timestamp: e.Time}}})
		})
	}
	if err != nil {
		return fmt.Errorf("reading event %d of build %d: %w: is the service of the same release?", e.Seq, e.Build, err)
	}
	return nil
}

// Close ends what is being redrawn.
func (s *Screen) Close() {
	if c, ok := s.graph.(io.Closer); ok {
		_ = c.Close() // of a display
	}
	s.graph, s.begun = nil, false
}

func with[T any](e service.Event, show func(T)) error {
	var data T
	if err := json.Unmarshal(e.Data, &data); err != nil {
		return err
	}
	show(data)
	return nil
}

func (s *Screen) status(d service.StatusData) {
	s.Close()
	switch {
	case d.SameAs != 0 && !d.Status.Final():
		s.To.Notice("%s: the same is being built already, as build %d", s.Name, d.SameAs)
	case d.Status == service.Queued && d.Why != "":
		s.To.Notice("%s: queued again: %s", s.Name, d.Why)
	case d.Status == service.Running && d.Attempt > 1:
		s.To.Notice("%s: begins anew", s.Name)
	case d.Status == service.Running:
		s.To.Verbose("%s: begins", s.Name)
	}
}

func (s *Screen) vertex(d service.VertexData) {
	s.solve(&bkclient.SolveStatus{Vertexes: []*bkclient.Vertex{{
		Digest: d.Digest, Inputs: d.Inputs, Name: d.Name, Started: d.Started, Completed: d.Completed, Cached: d.Cached, Error: d.Error,
	}}})
}

// solve hands on what the engine said.
func (s *Screen) solve(st *bkclient.SolveStatus) {
	if !s.begun {
		s.graph, s.begun = s.To.Progress(s.Name), true
	}
	if s.graph != nil {
		s.graph.Status(st)
	}
}
