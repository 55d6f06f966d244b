package display

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/containerd/console"
	"github.com/moby/buildkit/util/progress/progressui"
)

// block is lines at the bottom of a terminal, below all else that is shown.
type block struct {
	d     *Display
	lines func(Canvas) []string
	drawn []int // the widths of the lines that stand on the terminal
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
				fmt.Fprint(d.out, b.erase()+b.draw()) // in one, so that nothing flickers
				d.mu.Unlock()
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(stop)
		<-stopped
		d.mu.Lock()
		defer d.mu.Unlock()
		fmt.Fprint(d.out, b.erase())
		d.block = nil
	}), true
}

// erase gives what takes the lines off the terminal, row by row: erasing all
// below the cursor at once would make some terminals keep every table in what
// can be scrolled back to. The caller holds the mutex of the display.
func (b *block) erase() string {
	if b == nil || len(b.drawn) == 0 {
		return ""
	}
	width, _ := b.d.size()
	rows := 0
	for _, cells := range b.drawn {
		if reflows() {
			rows += (max(1, cells) - 1) / width
		}
		rows++
	}
	b.drawn = nil
	return "\r\x1b[2K" + strings.Repeat("\x1b[A\x1b[2K", rows)
}

// draw gives the lines for a terminal on which none stand. The caller holds the
// mutex of the display.
func (b *block) draw() string {
	if b == nil {
		return ""
	}
	c := Canvas{Fetched: b.d.moved("fetch"), Pushed: b.d.moved("push")}
	c.Width, c.Height = b.d.size()
	var text strings.Builder
	for _, line := range b.lines(c) {
		runes := []rune(line)
		runes = runes[:min(len(runes), c.Width-1)]
		text.WriteString(string(runes) + "\n")
		b.drawn = append(b.drawn, len(runes))
	}
	return text.String()
}

// size is that of the terminal, which may change at any time.
func (d *Display) size() (width, height int) {
	if f, ok := d.out.(*os.File); ok {
		if con, err := console.ConsoleFromFile(f); err == nil {
			if size, err := con.Size(); err == nil && size.Width > 0 {
				return int(size.Width), int(size.Height)
			}
		}
	}
	return 80, 24
}

// reflows tells whether the terminal breaks lines anew when it becomes narrower,
// as nearly all do. The console of Linux, xterm and screen cut them off; tmux
// breaks them wherever it runs.
func reflows() bool {
	return os.Getenv("TMUX") != "" || os.Getenv("TERM") != "linux" && os.Getenv("XTERM_VERSION") == "" && os.Getenv("STY") == ""
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
