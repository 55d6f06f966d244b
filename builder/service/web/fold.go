package web

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/riscv-build/riscv-build/builder/service"
)

// What is kept of a build's events to show it.
const (
	foldsKept  = 8       // builds
	linesKept  = 200     // per step: its last ones
	lineLength = 2000    // bytes
	foldBytes  = 1 << 20 // of all lines of a build
	noticeKept = 50
	graphBytes = 16 << 20
)

// folds are the builds that were looked at last, so that a page which is
// loaded again reads only the events that are new. Events never change.
type folds struct {
	mu   sync.Mutex
	kept []*fold // the last used first
}

// fold is what the events of a build come to.
type fold struct {
	mu      sync.Mutex
	build   int64
	seq     int64 // of the last event
	steps   []*step
	byID    map[string]*step
	bytes   int // of the lines that are kept
	stages  []stageStart
	notices []string
	graphed bool // the graph artefact was read
	ended   time.Time
}

type stageStart struct {
	name string
	at   time.Time
}

// step is a vertex of the graph, or what was printed by none.
type step struct {
	id        string // digest; "" for what no vertex printed
	name      string
	kind      string // of the graph artefact
	inputs    []string
	started   *time.Time
	completed *time.Time
	cached    bool
	err       string
	lines     []string
	total     int // lines that were printed
}

// of gives the fold of a build, new or kept.
func (f *folds) of(build int64) *fold {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.kept, func(k *fold) bool { return k.build == build })
	found := &fold{build: build, byID: map[string]*step{}}
	if i >= 0 {
		found = f.kept[i]
		f.kept = slices.Delete(f.kept, i, i+1)
	}
	f.kept = slices.Insert(f.kept, 0, found)
	f.kept = f.kept[:min(len(f.kept), foldsKept)]
	return found
}

// update reads what has happened since. The caller holds mu.
func (f *fold) update(ctx context.Context, s service.Service) error {
	const batch = 1000
	for {
		events, _, err := s.Events(ctx, f.build, f.seq, batch)
		if err != nil {
			return err
		}
		for _, e := range events {
			f.add(e)
			f.seq = e.Seq
		}
		if len(events) == 0 {
			break
		}
	}
	if len(f.steps) > 0 && !f.graphed {
		return f.readGraph(ctx, s)
	}
	return nil
}

// add takes an event. One that cannot be read says nothing to people.
func (f *fold) add(e service.Event) {
	switch e.Kind {
	case service.StatusEvent:
		var d service.StatusData
		_ = json.Unmarshal(e.Data, &d)
		f.status(e.Time, d)
	case service.StageEvent:
		var d service.StageData
		_ = json.Unmarshal(e.Data, &d)
		f.stages = append(f.stages, stageStart{d.Stage, e.Time})
	case service.NoticeEvent:
		var d service.NoticeData
		_ = json.Unmarshal(e.Data, &d)
		f.notice(d.Text)
	case service.VertexEvent:
		var d service.VertexData
		_ = json.Unmarshal(e.Data, &d)
		st := f.step(d.Digest.String())
		st.name, st.started, st.completed, st.cached, st.err = plain(d.Name), d.Started, d.Completed, d.Cached, plain(d.Error)
		st.inputs = st.inputs[:0]
		for _, in := range d.Inputs {
			st.inputs = append(st.inputs, in.String())
		}
	case service.LogEvent:
		var d service.LogData
		_ = json.Unmarshal(e.Data, &d)
		f.print(f.step(d.Vertex.String()), plain(d.Text))
	}
}

// status begins anew with an attempt: what the last one did is not its own.
func (f *fold) status(at time.Time, d service.StatusData) {
	if d.Status == service.Running {
		f.steps, f.byID, f.stages, f.graphed, f.bytes = nil, map[string]*step{}, nil, false, 0
	}
	if d.Why != "" {
		f.notice(d.Why)
	}
	if d.Status.Final() {
		f.ended = at
	}
}

func (f *fold) notice(text string) {
	if text = strings.TrimSpace(plain(text)); text == "" {
		return
	}
	f.notices = append(f.notices, text)
	f.notices = f.notices[max(0, len(f.notices)-noticeKept):]
}

func (f *fold) step(id string) *step {
	st := f.byID[id]
	if st == nil {
		st = &step{id: id}
		f.byID[id] = st
		f.steps = append(f.steps, st)
	}
	return st
}

// print keeps the last lines of a step, and in all only so many bytes: what the
// first steps printed is forgotten first.
func (f *fold) print(st *step, text string) {
	for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if len(line) > lineLength {
			line = strings.ToValidUTF8(line[:lineLength], "") + "…"
		}
		st.lines = append(st.lines, strings.Clone(line))
		st.total++
		f.bytes += len(line)
		if len(st.lines) >= 2*linesKept {
			f.bytes -= st.keep(linesKept)
		}
	}
	for _, other := range f.steps {
		if f.bytes > foldBytes && other != st {
			f.bytes -= other.keep(0)
		}
	}
}

// keep forgets all but the last n lines, and says how many bytes those were.
func (st *step) keep(n int) (freed int) {
	gone := max(0, len(st.lines)-n)
	for _, line := range st.lines[:gone] {
		freed += len(line)
	}
	st.lines = slices.Clone(st.lines[gone:])
	return freed
}

func (st *step) tail() []string { return st.lines[max(0, len(st.lines)-linesKept):] }

// readGraph adds what events do not tell: the kinds of steps, and those that
// have not begun. A build that has no graph yet, or never will, is none the worse.
func (f *fold) readGraph(ctx context.Context, s service.Service) error {
	r, err := s.Artefact(ctx, f.build, service.GraphArtefact)
	var missing *service.NotFoundError
	if errors.As(err, &missing) {
		return nil
	}
	if err != nil {
		return err
	}
	defer r.Close()
	var vertices []struct {
		Digest string   `json:"digest"`
		Name   string   `json:"name"`
		Kind   string   `json:"kind"`
		Inputs []string `json:"inputs"`
	}
	f.graphed = true
	if json.NewDecoder(io.LimitReader(r, graphBytes)).Decode(&vertices) != nil {
		return nil
	}
	known := f.steps
	f.steps = nil
	for _, v := range vertices {
		st := f.byID[v.Digest]
		if st == nil {
			st = &step{id: v.Digest, name: plain(v.Name), inputs: v.Inputs}
			f.byID[v.Digest] = st
		}
		st.kind = plain(v.Kind)
		if v.Kind != "result" { // no step: it only names the last one
			f.steps = append(f.steps, st)
		}
	}
	for _, st := range known {
		if !slices.Contains(f.steps, st) {
			f.steps = append(f.steps, st)
		}
	}
	return nil
}
