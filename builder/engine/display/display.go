// Package display shows what engines do, with BuildKit's own progress display,
// and lines of the pipeline's between. It never makes an engine wait: what
// cannot be shown at once is queued. It knows nothing of recipes or engines.
package display

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/containerd/console"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/util/progress/progressui"
	"github.com/opencontainers/go-digest"
)

// Display shows the progress of any number of jobs, one after the other or at
// the same time. Its methods may be called concurrently, and after Close too,
// when they do nothing.
type Display struct {
	out  *lineWriter // what else is written goes through the same writer
	tty  console.File
	mode progressui.DisplayMode

	mu     sync.Mutex
	queue  []event
	wake   chan struct{} // holds one token when the queue may not be empty
	closed bool
	done   chan struct{}

	// Only the goroutine that shows touches the following.
	jobs    int
	segment *segment
	live    map[digest.Digest]*client.Vertex // started and not completed
}

// event is one thing to show. Exactly one of its fields is set.
type event struct {
	status *client.SolveStatus
	begin  bool
	end    bool
	line   string
	flush  chan struct{} // closed when everything before it has been written
}

// New makes a display on w in a mode: "auto" (a terminal's full display where
// w is a terminal, lines elsewhere), "plain" (lines), "rawjson" (one
// client.SolveStatus of BuildKit a line) or "quiet" (warnings only). Colours
// follow NO_COLOR and appear on terminals only.
func New(w io.Writer, mode string) (*Display, error) {
	d := &Display{
		out:  &lineWriter{w: w},
		wake: make(chan struct{}, 1),
		done: make(chan struct{}),
		live: map[digest.Digest]*client.Vertex{},
	}
	switch mode {
	case "", "auto":
		d.mode = progressui.PlainMode
		if f, ok := terminal(w); ok {
			d.tty, d.mode = f, progressui.TtyMode
		}
	case "plain", "rawjson", "quiet":
		d.mode = progressui.DisplayMode(mode)
	default:
		return nil, fmt.Errorf("choosing the progress display %q: there is none of that name; choose auto, plain, rawjson or quiet", mode)
	}
	go d.show()
	return d, nil
}

func terminal(w io.Writer) (console.File, bool) {
	f, ok := w.(console.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return nil, false
	}
	_, err := console.ConsoleFromFile(f)
	return f, err == nil
}

// Job announces a job; an empty name leaves its steps' names as they are. Call
// its Done when the job has ended, also when it failed.
func (d *Display) Job(name string) *Job {
	d.push(event{begin: true})
	return &Job{display: d, name: name}
}

// Notice writes a line about the course of things; quiet displays leave it out.
func (d *Display) Notice(format string, args ...any) {
	if d.mode != progressui.QuietMode {
		d.push(event{line: fmt.Sprintf(format, args...)})
	}
}

// Warn writes a line that the user has to see.
func (d *Display) Warn(format string, args ...any) {
	d.push(event{line: fmt.Sprintf(format, args...)})
}

// Flush returns when all that was reported before has been written.
func (d *Display) Flush() {
	written := make(chan struct{})
	if d.push(event{flush: written}) {
		<-written
	}
}

// Close writes what is left and ends the display. It is for defer: a build
// that was interrupted shows its last state, too.
func (d *Display) Close() error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.notify()
	<-d.done
	return d.out.close()
}

func (d *Display) push(e event) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.queue = append(d.queue, e)
	d.notify()
	return true
}

func (d *Display) notify() {
	select {
	case d.wake <- struct{}{}:
	default: // a token is there already
	}
}

// show is the one goroutine that writes, until the display is closed and its queue empty.
func (d *Display) show() {
	defer close(d.done)
	for range d.wake {
		for {
			d.mu.Lock()
			events, closed := d.queue, d.closed
			d.queue = nil
			d.mu.Unlock()
			for _, e := range events {
				d.handle(e)
			}
			if len(events) > 0 {
				continue
			}
			if closed {
				d.endSegment()
				return
			}
			break
		}
	}
}

func (d *Display) handle(e event) {
	switch {
	case e.begin:
		d.jobs++
	case e.end:
		// Between jobs the display starts afresh, so that a notice after a job comes after its steps.
		if d.jobs--; d.jobs == 0 {
			d.endSegment()
			clear(d.live)
		}
	case e.status != nil:
		d.update(e.status)
	case e.flush != nil:
		if d.jobs == 0 {
			d.endSegment()
		}
		close(e.flush)
	default:
		d.writeLine(e.line)
	}
}

// update gives a status to BuildKit's display.
func (d *Display) update(s *client.SolveStatus) {
	if d.segment == nil {
		d.segment = d.newSegment()
		d.segment.reveal(d.live)
	}
	for _, v := range s.Vertexes {
		if v.Started != nil && v.Completed == nil {
			d.live[v.Digest] = v
		} else {
			delete(d.live, v.Digest)
		}
	}
	d.segment.statuses <- s
}

// writeLine writes a line of the pipeline's own.
func (d *Display) writeLine(line string) {
	switch d.mode {
	case progressui.RawJSONMode:
		// A reader of rawjson expects statuses only.
		now := time.Now()
		d.update(&client.SolveStatus{Vertexes: []*client.Vertex{{
			Digest: digest.FromString(now.Format(time.RFC3339Nano) + line), Name: line, Started: &now, Completed: &now,
		}}})
	case progressui.TtyMode:
		// What the terminal shows is final when its display ends; steps that go on appear again below the line.
		d.endSegment()
		d.out.line(line)
	default:
		d.out.line(line)
	}
}

// segment is a run of one display of BuildKit's.
type segment struct {
	statuses chan *client.SolveStatus
	done     chan struct{}
}

func (d *Display) newSegment() *segment {
	s := &segment{statuses: make(chan *client.SolveStatus), done: make(chan struct{})}
	var out io.Writer = d.out
	if d.mode == progressui.TtyMode {
		out = d.tty
	}
	ui, err := progressui.NewDisplay(out, d.mode)
	go func() {
		defer close(s.done)
		if err == nil {
			// No context: a cancelled build is shown to its end. There is no other error than the context's.
			_, _ = ui.UpdateFrom(context.Background(), s.statuses)
		}
		for range s.statuses { // a terminal that went away takes nothing; the build goes on
		}
	}()
	return s
}

// reveal tells a new segment of steps that were started before it.
func (s *segment) reveal(live map[digest.Digest]*client.Vertex) {
	if len(live) == 0 {
		return
	}
	status := &client.SolveStatus{}
	for _, v := range live {
		status.Vertexes = append(status.Vertexes, v)
	}
	s.statuses <- status
}

func (d *Display) endSegment() {
	if d.segment == nil {
		return
	}
	close(d.segment.statuses)
	<-d.segment.done
	d.segment = nil
	d.out.finish()
}
