package batch

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/builder/engine"
)

// Meter counts the commands that an engine runs. It is safe for use by several
// goroutines.
type Meter struct {
	mu   sync.Mutex
	runs map[digest.Digest]map[time.Time]bool // by command and start: two builds that wait for one run hear of it both
	hits map[digest.Digest]bool
	name string // of the engine
}

// Provider is the engine of another provider, counted.
func (m *Meter) Provider(next builder.EngineProvider) builder.EngineProvider {
	return func(ctx context.Context) (engine.Engine, error) {
		e, err := next(ctx)
		if err != nil {
			return nil, err
		}
		if m.Name() == "" {
			if info, err := e.Info(ctx); err == nil {
				m.Used(info.Name)
			}
		}
		return metered{e, m}, nil
	}
}

// Name is the name of the engine that was used; "" if none was.
func (m *Meter) Name() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.name
}

// Execs is what was counted.
func (m *Meter) Execs() Execs {
	m.mu.Lock()
	defer m.mu.Unlock()
	var x Execs
	for _, starts := range m.runs {
		x.Run += len(starts)
		x.Repeated += len(starts) - 1
	}
	for d := range m.hits {
		if len(m.runs[d]) == 0 {
			x.Cached++
		}
	}
	return x
}

// metered is an engine that is counted.
type metered struct {
	engine.Engine
	meter *Meter
}

var _ engine.Engine = metered{}

// Solve solves the job's graph and counts its commands.
func (e metered) Solve(ctx context.Context, job engine.Job) error {
	w := &watch{next: job.Progress, execs: execs(job.Definition), last: map[digest.Digest]*client.Vertex{}}
	job.Progress = w
	err := e.Engine.Solve(ctx, job)
	e.meter.add(w)
	return err
}

func (m *Meter) add(w *watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for d, v := range w.last {
		switch {
		case v.Cached:
			m.Hit(d)
		case v.Started != nil && v.Completed != nil && v.Error == "":
			m.Ran(d, *v.Started)
		}
	}
}

// Ran counts a command that began at a time.
func (m *Meter) Ran(command digest.Digest, began time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.runs == nil {
		m.runs = map[digest.Digest]map[time.Time]bool{}
	}
	if m.runs[command] == nil {
		m.runs[command] = map[time.Time]bool{}
	}
	m.runs[command][began.UTC().Round(0)] = true
}

// Hit counts a command whose result the engine had.
func (m *Meter) Hit(command digest.Digest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hits == nil {
		m.hits = map[digest.Digest]bool{}
	}
	m.hits[command] = true
}

// Used notes the name of an engine that was used; the first one's stays.
func (m *Meter) Used(engine string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.name = cmp.Or(m.name, engine)
}

// watch notes what became of the commands of one graph.
type watch struct {
	next  engine.Progress
	execs map[digest.Digest]bool

	mu   sync.Mutex
	last map[digest.Digest]*client.Vertex
}

// Status takes what the engine reports.
func (w *watch) Status(s *client.SolveStatus) {
	w.mu.Lock()
	for _, v := range s.Vertexes {
		if w.execs[v.Digest] {
			w.last[v.Digest] = v
		}
	}
	w.mu.Unlock()
	if w.next != nil {
		w.next.Status(s)
	}
}

// execs are the commands of a graph. A graph that cannot be read has none; that
// it cannot is for the engine to say.
func execs(definition []byte) map[digest.Digest]bool {
	found := map[digest.Digest]bool{}
	def := new(pb.Definition)
	if def.UnmarshalVT(definition) != nil {
		return found
	}
	for _, raw := range def.Def {
		var op pb.Op
		if op.UnmarshalVT(raw) == nil && op.GetExec() != nil {
			found[digest.FromBytes(raw)] = true
		}
	}
	return found
}
