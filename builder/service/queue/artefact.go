package queue

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/builder/service"
)

// artefacts are the names that can be asked for.
var artefacts = []string{service.LockArtefact, service.GraphArtefact, service.LogArtefact, service.ReportArtefact}

// Artefact implements service.Service. Those of a build that followed another
// one are that one's.
func (q *Queue) Artefact(ctx context.Context, build int64, name string) (io.ReadCloser, error) {
	if !slices.Contains(artefacts, name) {
		return nil, &service.NotFoundError{What: fmt.Sprintf("an artefact of the kind %q", name)}
	}
	b, err := q.cfg.Store.Build(ctx, build)
	if err != nil {
		return nil, err
	}
	if b.SameAs != 0 {
		build = b.SameAs
	}
	if name != service.LogArtefact {
		return q.cfg.Store.Artefact(ctx, build, name)
	}
	first, err := q.cfg.Store.Events(ctx, build, 0, pageEvents)
	if err != nil {
		return nil, err
	}
	if len(first) == 0 {
		return nil, &service.NotFoundError{What: fmt.Sprintf("the log of build %d, which is not kept for so long", build)}
	}
	out, in := io.Pipe()
	go func() { in.CloseWithError(q.printLog(ctx, in, first)) }()
	return out, nil
}

// printLog writes a log page by page.
func (q *Queue) printLog(ctx context.Context, out io.Writer, page []service.Event) error {
	w := bufio.NewWriter(out)
	l := logPrinter{w: w, steps: map[digest.Digest]int{}}
	for len(page) > 0 {
		for _, e := range page {
			l.print(e)
		}
		last := page[len(page)-1]
		var err error
		if page, err = q.cfg.Store.Events(ctx, last.Build, last.Seq, pageEvents); err != nil {
			return err
		}
	}
	return w.Flush()
}

// logPrinter prints events as a terminal would have shown them.
type logPrinter struct {
	w     *bufio.Writer
	steps map[digest.Digest]int // numbers, in the order of their start
	begun time.Time
}

func (l *logPrinter) print(e service.Event) {
	if l.begun.IsZero() {
		l.begun = e.Time
	}
	switch e.Kind {
	case service.StatusEvent:
		var d service.StatusData
		l.read(e, &d)
		l.line(e, string(d.Status)+after(": ", d.Error)+after(": ", d.Why)+after(" ", d.Digest))
	case service.StageEvent:
		var d service.StageData
		l.read(e, &d)
		l.line(e, "stage "+d.Stage)
	case service.NoticeEvent:
		var d service.NoticeData
		l.read(e, &d)
		l.line(e, d.Text)
	case service.VertexEvent:
		var d service.VertexData
		l.read(e, &d)
		l.step(e, d)
	case service.LogEvent:
		var d service.LogData
		l.read(e, &d)
		for line := range strings.Lines(d.Text) {
			l.line(e, fmt.Sprintf("#%d %s", l.number(d.Vertex), strings.TrimRight(line, "\r\n")))
		}
	}
}

// after is a text behind a separator, or nothing.
func after(separator, text string) string {
	if text == "" {
		return ""
	}
	return separator + text
}

func (l *logPrinter) read(e service.Event, data any) {
	if err := json.Unmarshal(e.Data, data); err != nil {
		l.line(e, "reading this event: "+err.Error())
	}
}

// line writes a line with its time, in seconds since the build was queued.
// What cannot be written, Flush tells.
func (l *logPrinter) line(e service.Event, text string) {
	fmt.Fprintf(l.w, "%9.3f %s\n", e.Time.Sub(l.begun).Seconds(), text)
}

func (l *logPrinter) number(d digest.Digest) int {
	if _, ok := l.steps[d]; !ok {
		l.steps[d] = len(l.steps) + 1
	}
	return l.steps[d]
}

func (l *logPrinter) step(e service.Event, d service.VertexData) {
	if d.Started == nil {
		return
	}
	_, known := l.steps[d.Digest]
	n := l.number(d.Digest)
	if !known {
		l.line(e, fmt.Sprintf("#%d %s", n, d.Name))
	}
	switch {
	case d.Error != "":
		l.line(e, fmt.Sprintf("#%d ERROR: %s", n, d.Error))
	case d.Cached:
		l.line(e, fmt.Sprintf("#%d CACHED", n))
	case d.Completed != nil:
		l.line(e, fmt.Sprintf("#%d DONE %.1fs", n, d.Completed.Sub(*d.Started).Seconds()))
	}
}
