package batch

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/builder/display"
	"github.com/riscv-build/riscv-build/builder/engine"
)

// shownLines is how many of the last lines of a log are shown.
const shownLines = 200

// logs keep what the commands of each recipe print, in a file each.
type logs struct{ dir string }

func newLogs(stateDir string) logs { return logs{filepath.Join(stateDir, "batch", "logs")} }

func (l logs) file(name string) string { return filepath.Join(l.dir, filepath.Base(name)+".log") }

// drop removes what an earlier run left.
func (l logs) drop(name string) { os.Remove(l.file(name)) }

// path is that of a recipe's log, "" if its commands printed nothing.
func (l logs) path(name string) string {
	if fi, err := os.Stat(l.file(name)); err != nil || fi.Size() == 0 {
		return ""
	}
	return l.file(name)
}

// tail gives the last lines of a log.
func (l logs) tail(name string) string {
	text, err := os.ReadFile(l.file(name))
	if err != nil {
		return ""
	}
	lines := bytes.Split(bytes.TrimRight(text, "\n"), []byte("\n"))
	cut := max(0, len(lines)-shownLines)
	out := string(bytes.Join(lines[cut:], []byte("\n")))
	if cut > 0 {
		out = fmt.Sprintf("(%d lines before these)\n%s", cut, out)
	}
	return out
}

// steps count the commands of a graph.
type steps struct{ done, cached int }

func (s steps) String() string {
	if s.done == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d steps", s.cached, s.done)
}

// progress writes what an engine does for a recipe to its log, as BuildKit's
// plain display would show it, and tells how many steps are done.
func (l logs) progress(name string, counted func(done, cached int)) (engine.Progress, error) {
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(l.file(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	d, err := display.New(f, "plain", false)
	if err != nil {
		f.Close()
		return nil, err
	}
	return &recipeLog{file: f, display: d, next: d.Progress(name), counted: counted, done: map[digest.Digest]bool{}}, nil
}

// recipeLog is the display of one recipe's commands.
type recipeLog struct {
	file    *os.File
	display *display.Display
	next    engine.Progress
	counted func(done, cached int)

	mu   sync.Mutex
	done map[digest.Digest]bool // whether it was cached
}

var _ io.Closer = (*recipeLog)(nil)

// Status takes what the engine reports.
func (l *recipeLog) Status(s *client.SolveStatus) {
	l.mu.Lock()
	for _, v := range s.Vertexes {
		if v.Completed != nil {
			l.done[v.Digest] = v.Cached
		}
	}
	cached := 0
	for _, hit := range l.done {
		if hit {
			cached++
		}
	}
	done := len(l.done)
	l.mu.Unlock()
	l.counted(done, cached)
	l.next.Status(s)
}

// Close completes the log.
func (l *recipeLog) Close() error {
	l.display.Flush()
	return l.file.Close()
}
