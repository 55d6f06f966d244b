package display

import (
	"strings"
	"sync"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/util/progress/progressui"
	"github.com/opencontainers/go-digest"
	"github.com/riscv-build/riscv-build/builder/engine"
)

// Job is the progress of one job of a Display.
type Job struct {
	display *Display
	name    string
	done    sync.Once
}

var _ engine.Progress = (*Job)(nil)

// Status shows a status. It takes no part of s for itself, and never waits.
func (j *Job) Status(s *client.SolveStatus) {
	j.display.push(event{status: j.own(s)})
}

// Done ends the job. It may be called more than once.
func (j *Job) Done() {
	j.done.Do(func() { j.display.push(event{end: true}) })
}

// own makes the status the job's: its name stands before every step's, and,
// where people read, a step that two jobs share is shown for each of them,
// because a step has one name and one state only in BuildKit's display.
func (j *Job) own(s *client.SolveStatus) *client.SolveStatus {
	if j.name == "" {
		return s
	}
	id := j.identify
	if j.display.mode == progressui.RawJSONMode {
		id = func(d digest.Digest) digest.Digest { return d }
	}
	out := &client.SolveStatus{}
	for _, v := range s.Vertexes {
		c := *v
		c.Digest, c.Name, c.Inputs = id(v.Digest), j.prefix(v.Name), make([]digest.Digest, len(v.Inputs))
		for i, input := range v.Inputs {
			c.Inputs[i] = id(input)
		}
		out.Vertexes = append(out.Vertexes, &c)
	}
	for _, st := range s.Statuses {
		c := *st
		c.Vertex = id(st.Vertex)
		out.Statuses = append(out.Statuses, &c)
	}
	for _, l := range s.Logs {
		c := *l
		c.Vertex = id(l.Vertex)
		out.Logs = append(out.Logs, &c)
	}
	for _, w := range s.Warnings {
		c := *w
		c.Vertex = id(w.Vertex)
		out.Warnings = append(out.Warnings, &c)
	}
	return out
}

func (j *Job) identify(d digest.Digest) digest.Digest {
	return digest.FromString(j.name + "\x00" + string(d))
}

// prefix puts the job's name where BuildKit's displays have a stage's: "[nginx compile] ..." or "[nginx] ...".
func (j *Job) prefix(name string) string {
	if rest, ok := strings.CutPrefix(name, "["); ok {
		return "[" + j.name + " " + rest
	}
	return "[" + j.name + "] " + name
}
