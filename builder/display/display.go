// Package display shows a user what goes on: notices, decisions with their
// reasons, downloads, and BuildKit's display of a running graph. It writes to
// one stream, so that lines of different origin never mix.
//
// It is not for results: those go to standard output, by the verbs.
package display

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/containerd/console"
	"github.com/moby/buildkit/util/progress/progressui"

	"github.com/riscv-build/riscv-build/builder/engine"
)

// Modes are the values of --progress. Auto redraws on a terminal and is plain
// elsewhere; rawjson writes one JSON object a line; quiet shows notices only.
var Modes = []string{"auto", "plain", "rawjson", "quiet"}

// Display shows what happens, in the order it happens. It is safe for use by
// several goroutines.
type Display struct {
	mode    progressui.DisplayMode
	redraws bool // a terminal that lines are redrawn on
	verbose bool

	mu      sync.Mutex
	out     io.Writer
	job     *job                  // what redraws the terminal now; nil: none
	waiting []string              // lines to show when the job is over
	moves   map[string]*transfers // by kind
	drawn   bool                  // a line without its end stands on the terminal
	block   *block                // lines at the bottom of the terminal; nil: none
}

// New makes a display in one of Modes. With verbose it also shows what
// Verbose is told.
func New(out io.Writer, mode string, verbose bool) (*Display, error) {
	d := &Display{mode: progressui.DisplayMode(mode), verbose: verbose, out: out}
	switch mode {
	case "plain", "rawjson", "quiet":
	case "auto":
		d.redraws = terminal(out)
		d.mode = progressui.PlainMode
		if d.redraws {
			d.mode = progressui.TtyMode
		}
	default:
		return nil, fmt.Errorf("showing progress as %q: use one of %s", mode, strings.Join(Modes, ", "))
	}
	return d, nil
}

// terminal tells whether lines can be redrawn on a stream.
func terminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	_, err := console.ConsoleFromFile(f)
	return err == nil
}

// Notice shows a line that a user should see in every mode.
func (d *Display) Notice(format string, args ...any) { d.line(fmt.Sprintf(format, args...)) }

// Verbose shows what was decided and why, if the user asked for that.
func (d *Display) Verbose(format string, args ...any) {
	if d.verbose {
		d.line(fmt.Sprintf(format, args...))
	}
}

// line shows a line, at once or when the terminal is free.
func (d *Display) line(text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.redraws && d.job != nil {
		d.waiting = append(d.waiting, text)
		return
	}
	d.clear()
	d.write(text)
	fmt.Fprint(d.out, d.block.draw())
}

// write writes a line in the form of the mode. The caller holds the mutex.
func (d *Display) write(text string) {
	if d.mode == progressui.RawJSONMode {
		d.json(map[string]any{"notice": text})
		return
	}
	fmt.Fprintln(d.out, text)
}

func (d *Display) json(v any) {
	if b, err := json.Marshal(v); err == nil {
		fmt.Fprintf(d.out, "%s\n", b)
	}
}

// Write lets BuildKit's plain and JSON displays share the stream.
func (d *Display) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.out.Write(b)
}

// Progress opens the display of one graph. It ends with its Close method, with
// the next one, or with Flush.
func (d *Display) Progress(name string) engine.Progress {
	d.Flush()
	if d.mode == progressui.QuietMode {
		return nil
	}
	j, err := d.newJob(name)
	if err != nil {
		d.Notice("showing the progress of %q: %v", name, err)
		return nil
	}
	d.mu.Lock()
	d.job = j
	d.mu.Unlock()
	return j
}

// Flush ends what is being redrawn and shows the lines that waited for that.
func (d *Display) Flush() {
	d.mu.Lock()
	j := d.job
	d.mu.Unlock()
	if j != nil {
		j.end()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clear()
	if d.job == j {
		d.job = nil
	}
	for _, text := range d.waiting {
		d.write(text)
	}
	d.waiting = nil
}
