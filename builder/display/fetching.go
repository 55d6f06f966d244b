package display

import (
	"fmt"
	"time"

	"github.com/moby/buildkit/util/progress/progressui"
	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/builder/fetch"
)

// How often the state of transfers is shown: on a terminal, and elsewhere.
const (
	redrawEvery = 200 * time.Millisecond
	reportEvery = 5 * time.Second
)

var _ fetch.Progress = (*Display)(nil)

// transfers sums up what goes on in parallel.
type transfers struct {
	bytes map[digest.Digest]int64
	ended map[digest.Digest]bool
	shown time.Time
}

// Fetching takes the state of one download of packages and sources.
func (d *Display) Fetching(e fetch.Event) {
	if e.Notice != "" {
		d.Notice("%s: %s", e.Name, e.Notice)
	}
	d.Transfer("fetch", e.Digest, e.Done, e.Ended)
}

// Transfer takes the state of one file on its way, in bytes, and now and then
// shows that of all of its kind ("fetch", "push" or "pull"): a run moves
// hundreds.
func (d *Display) Transfer(kind string, dgst digest.Digest, done int64, ended bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.moves[kind]
	if t == nil {
		t = &transfers{bytes: map[digest.Digest]int64{}, ended: map[digest.Digest]bool{}, shown: time.Now()}
		if d.moves == nil {
			d.moves = map[string]*transfers{}
		}
		d.moves[kind] = t
	}
	t.bytes[dgst] = max(t.bytes[dgst], done)
	if ended {
		t.ended[dgst] = true
	}
	every := reportEvery
	if d.redraws {
		every = redrawEvery
	}
	if d.mode == progressui.QuietMode || d.job != nil || d.block != nil || time.Since(t.shown) < every {
		return
	}
	t.shown = time.Now()
	d.report(kind, t)
}

func (d *Display) report(kind string, t *transfers) {
	var sum int64
	for _, n := range t.bytes {
		sum += n
	}
	text := fmt.Sprintf("%sing: %d of %d files begun are complete, %.1f MB", kind, len(t.ended), len(t.bytes), float64(sum)/1e6)
	switch {
	case d.redraws:
		fmt.Fprintf(d.out, "\r\x1b[K%s", text)
		d.drawn = true
	case d.mode == progressui.RawJSONMode:
		d.json(map[string]any{kind: map[string]any{"files": len(t.ended), "begun": len(t.bytes), "bytes": sum}})
	default:
		fmt.Fprintln(d.out, text)
	}
}

// clear takes the line of transfers off the terminal. The caller holds the mutex.
func (d *Display) clear() {
	fmt.Fprint(d.out, d.block.erase())
	if d.drawn {
		fmt.Fprint(d.out, "\r\x1b[K")
		d.drawn = false
	}
}
