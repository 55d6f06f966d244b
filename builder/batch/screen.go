package batch

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/builder/display"
	"github.com/riscv-build/riscv-build/builder/engine"
)

// Screen shows a user how a batch goes on: a live table on a terminal, a line
// at the start and the end of each recipe elsewhere. What the commands of a
// recipe print goes to a file of its own and is shown if it fails. It is the
// display of the builder that works for the batch.
type Screen struct {
	*display.Display
	logs logs

	mu     sync.Mutex
	began  time.Time
	total  int
	counts map[Outcome]int
	rows   map[string]*row // of the recipes that are worked on, by name
	live   bool
	end    func() // of the table
}

var _ builder.Display = (*Screen)(nil)

// row is a line of the table.
type row struct {
	name  string
	stage string
	began time.Time
	steps steps
}

// NewScreen shows a batch on a display and keeps logs in a state directory.
func NewScreen(d *display.Display, stateDir string) *Screen {
	return &Screen{Display: d, logs: newLogs(stateDir), counts: map[Outcome]int{}, rows: map[string]*row{}}
}

// Progress takes what an engine does for a recipe.
func (s *Screen) Progress(name string) engine.Progress {
	s.mu.Lock()
	r := s.rows[name]
	s.mu.Unlock()
	p, err := s.logs.progress(name, func(done, cached int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if r != nil {
			r.steps.done, r.steps.cached = done, cached
		}
	})
	if err != nil {
		s.Notice("%s: keeping the output of its commands: %v", name, err)
		return nil
	}
	return p
}

func (s *Screen) open(total int) {
	s.began, s.total = time.Now(), total
	s.end, s.live = s.Block(s.table)
}

func (s *Screen) close() {
	s.end()
	s.Flush()
}

// begin shows that a recipe is worked on.
func (s *Screen) begin(e *Entry) {
	s.logs.drop(e.Name)
	s.mu.Lock()
	s.rows[e.Name] = &row{name: e.Name, began: time.Now()}
	s.mu.Unlock()
	if !s.live && !s.Quiet() {
		s.Notice("%s: started", e.Name)
	}
}

func (s *Screen) stage(name, stage string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.rows[name]; r != nil {
		r.stage = stage
	}
}

// ended shows what became of a recipe, and of one that failed why.
func (s *Screen) ended(e *Entry, err error) {
	if s == nil {
		return // a plan
	}
	s.mu.Lock()
	delete(s.rows, e.Name)
	s.counts[e.Outcome]++
	text := s.line(e)
	s.mu.Unlock()
	if e.Outcome == Failed {
		e.Log = s.logs.path(e.Name)
	}
	if e.Outcome.OK() && s.Quiet() {
		return
	}
	if err != nil && e.Outcome == Failed {
		text = s.failure(e, err) + "\n" + text
	}
	s.Notice("%s", text)
}

// line sums a recipe up that is done.
func (s *Screen) line(e *Entry) string {
	done := 0
	for _, n := range s.counts {
		done += n
	}
	text := fmt.Sprintf("[%d/%d] %s: %s", done, s.total, e.Name, e.Outcome)
	switch {
	case e.Outcome == Built && e.Cached:
		text += fmt.Sprintf(" (nothing had changed) in %.1f s", e.Seconds)
	case e.Outcome == Built:
		text += fmt.Sprintf(" in %.1f s", e.Seconds)
	case e.Outcome == Failed:
		text += fmt.Sprintf(" in stage %s after %.1f s", cmp.Or(e.Stage, "?"), e.Seconds)
	}
	if e.Why != "" {
		text += ": " + e.Why
	}
	return text
}

// failure is the text about a recipe that failed: what its commands printed,
// where a file that will be gone is of no use, and the error. Every line says
// whose it is.
func (s *Screen) failure(e *Entry, err error) string {
	text := err.Error()
	var step *engine.ExecError
	if e.Log != "" && !s.live && errors.As(err, &step) {
		short := fmt.Sprintf("running step %q: exit status %d", step.Step, step.Exit)
		text = s.logs.tail(e.Name) + "\n" + strings.Replace(text, step.Error(), short, 1)
	}
	if e.Log != "" {
		text += "\nall that its commands printed: " + e.Log
	}
	return prefixed(e.Name, text)
}

func prefixed(name, text string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.Trim(text, "\n")) {
		b.WriteString(name + " | " + strings.TrimRight(line, "\r\n") + "\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// table draws the recipes that are worked on. What there is no room for is left
// out from the right and from below.
func (s *Screen) table(c display.Canvas) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	recipes := "recipes"
	if s.total == 1 {
		recipes = "recipe"
	}
	head := []string{fmt.Sprintf("%d %s, %s", s.total, recipes, clock(time.Since(s.began)))}
	for _, o := range Outcomes {
		if n := s.counts[o]; n > 0 {
			head = append(head, fmt.Sprintf("%d %s", n, o))
		}
	}
	head = append(head, fmt.Sprintf("%.1f MB fetched", float64(c.Fetched)/1e6))
	if c.Pushed > 0 {
		head = append(head, fmt.Sprintf("%.1f MB pushed", float64(c.Pushed)/1e6))
	}
	lines := []string{fitting(head, ", ", c.Width)}
	rows := slices.SortedFunc(maps.Values(s.rows), func(x, y *row) int {
		return cmp.Or(x.began.Compare(y.began), cmp.Compare(x.name, y.name))
	})
	width := len("recipe")
	for _, r := range rows {
		width = max(width, len(r.name))
	}
	line := func(name, stage, elapsed, cached string) {
		cells := []string{fmt.Sprintf("  %-*s", width, name), fmt.Sprintf("%-6s", stage), fmt.Sprintf("%7s", elapsed), cached}
		lines = append(lines, strings.TrimRight(fitting(cells, "  ", c.Width), " "))
	}
	if len(rows) > 0 {
		line("recipe", "stage", "elapsed", "cached")
	}
	for _, r := range rows {
		line(r.name, r.stage, clock(time.Since(r.began)), r.steps.String())
	}
	room := max(1, c.Height-1) // the cursor stands below
	if hidden := len(lines) - room; hidden > 0 && room > 2 {
		lines[room-1] = fmt.Sprintf("  and %d more", hidden+1)
	}
	return lines[:min(len(lines), room)]
}

// fitting joins as many cells as fit into a terminal's width.
func fitting(cells []string, between string, width int) string {
	text := cells[0]
	for _, cell := range cells[1:] {
		if len(text)+len(between)+len(cell) >= width {
			break
		}
		text += between + cell
	}
	return text
}

// clock writes minutes and seconds.
func clock(d time.Duration) string {
	s := int(d.Seconds())
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}
