package display

import (
	"fmt"
	"time"

	"github.com/moby/buildkit/util/progress/progressui"
	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/builder/fetch"
)

// How often the state of downloads is shown: on a terminal, and elsewhere.
const (
	redrawEvery = 200 * time.Millisecond
	reportEvery = 5 * time.Second
)

var _ fetch.Progress = (*Display)(nil)

// downloads sums up what goes on in parallel.
type downloads struct {
	bytes map[digest.Digest]int64
	done  int
	shown time.Time
	drawn bool // a line without its end stands on the terminal
}

// Fetching takes the state of one download and now and then shows that of
// all: a run fetches hundreds of packages.
func (d *Display) Fetching(e fetch.Event) {
	if e.Notice != "" {
		d.Notice("%s: %s", e.Name, e.Notice)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	f := &d.fetch
	if f.bytes == nil {
		f.bytes = map[digest.Digest]int64{}
		f.shown = time.Now()
	}
	f.bytes[e.Digest] = max(f.bytes[e.Digest], e.Done)
	if e.Ended {
		f.done++
	}
	every := reportEvery
	if d.redraws {
		every = redrawEvery
	}
	if d.mode == progressui.QuietMode || d.job != nil || time.Since(f.shown) < every {
		return
	}
	f.shown = time.Now()
	d.report()
}

func (d *Display) report() {
	f := &d.fetch
	var sum int64
	for _, n := range f.bytes {
		sum += n
	}
	text := fmt.Sprintf("fetching: %d of %d files begun are complete, %.1f MB", f.done, len(f.bytes), float64(sum)/1e6)
	switch {
	case d.redraws:
		fmt.Fprintf(d.out, "\r\x1b[K%s", text)
		f.drawn = true
	case d.mode == progressui.RawJSONMode:
		d.json(map[string]any{"fetch": map[string]any{"files": f.done, "begun": len(f.bytes), "bytes": sum}})
	default:
		fmt.Fprintln(d.out, text)
	}
}

// clear takes the line of downloads off the terminal. The caller holds the mutex.
func (d *Display) clear() {
	if d.fetch.drawn {
		fmt.Fprint(d.out, "\r\x1b[K")
		d.fetch.drawn = false
	}
}
