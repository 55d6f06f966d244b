package display

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/containerd/console"
	"github.com/moby/buildkit/util/progress/progressui"
)

// block is lines at the bottom of a terminal, below all else that is shown.
type block struct {
	d     *Display
	lines func(Canvas) []string
	drawn int // lines that stand on the terminal
}

// Canvas is what there is to draw a block with.
type Canvas struct {
	Width, Height int   // of the terminal
	Fetched       int64 // bytes of downloads so far
	Pushed        int64 // bytes of uploads so far
}

// Quiet tells whether notices alone are shown.
func (d *Display) Quiet() bool { return d.mode == progressui.QuietMode }

// Block keeps lines at the bottom of the terminal, made anew several times a
// second, until end is called. Where the display is no terminal it shows nothing,
// and ok is false. What lines returns is cut to the width; it must not use the
// Display.
func (d *Display) Block(lines func(Canvas) []string) (end func(), ok bool) {
	if !d.redraws {
		return func() {}, false
	}
	d.Flush()
	d.mu.Lock()
	defer d.mu.Unlock()
	b := &block{d: d, lines: lines}
	d.block = b
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for tick := time.NewTicker(redrawEvery); ; {
			select {
			case <-stop:
				tick.Stop()
				return
			case <-tick.C:
				d.mu.Lock()
				b.erase()
				b.draw()
				d.mu.Unlock()
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(stop)
		<-stopped
		d.mu.Lock()
		defer d.mu.Unlock()
		b.erase()
		d.block = nil
	}), true
}

// erase takes the lines off the terminal. The caller holds the mutex of the display.
func (b *block) erase() {
	if b != nil && b.drawn > 0 {
		fmt.Fprintf(b.d.out, "\x1b[%dA\r\x1b[J", b.drawn)
		b.drawn = 0
	}
}

// draw puts the lines on the terminal, where none stand. The caller holds the
// mutex of the display.
func (b *block) draw() {
	if b == nil {
		return
	}
	c := Canvas{Width: 80, Height: 24, Fetched: b.d.moved("fetch"), Pushed: b.d.moved("push")}
	if f, ok := b.d.out.(*os.File); ok {
		if con, err := console.ConsoleFromFile(f); err == nil {
			if size, err := con.Size(); err == nil && size.Width > 0 {
				c.Width, c.Height = int(size.Width), int(size.Height)
			}
		}
	}
	for _, line := range b.lines(c) {
		if runes := []rune(line); len(runes) >= c.Width {
			line = string(runes[:c.Width-1])
		}
		fmt.Fprintln(b.d.out, line)
		b.drawn++
	}
}

// moved sums up the bytes of a kind of transfer. The caller holds the mutex.
func (d *Display) moved(kind string) int64 {
	var sum int64
	if t := d.moves[kind]; t != nil {
		for _, n := range t.bytes {
			sum += n
		}
	}
	return sum
}
