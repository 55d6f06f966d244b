package batch

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/console"
	"github.com/hinshun/vt10x"

	"github.com/riscv-build/riscv-build/tests/rig"
)

// window is a terminal with a program in it.
type window struct {
	pty    console.Console
	screen vt10x.Terminal
	cmd    *exec.Cmd
	ended  chan struct{} // closed when all that was printed is on the screen

	mu      sync.Mutex
	printed []byte
}

// openWindow runs the program in a terminal of that size which, as that of
// Linux, breaks no lines anew when it becomes narrower.
func openWindow(t *testing.T, size console.WinSize, env []string, args ...string) *window {
	t.Helper()
	pty, name, err := console.NewPty()
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	w := &window{pty: pty, screen: vt10x.New(vt10x.WithSize(int(size.Width), int(size.Height))), cmd: exec.Command(rig.Binary, args...), ended: make(chan struct{})}
	w.cmd.Env = append(append(os.Environ(), "TERM=linux"), env...)
	w.cmd.Stdin, w.cmd.Stdout, w.cmd.Stderr = tty, tty, tty
	if err := pty.Resize(size); err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tty.Close()
	t.Cleanup(func() {
		_ = w.cmd.Process.Kill()
		_ = w.cmd.Wait()
		<-w.ended
		pty.Close()
	})
	go func() {
		defer close(w.ended)
		_, _ = io.Copy(w, pty) // EIO is the end of a terminal
	}()
	return w
}

// Write takes what the program prints.
func (w *window) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.printed = append(w.printed, b...)
	return w.screen.Write(b)
}

// resize changes the window while the program runs.
func (w *window) resize(t *testing.T, size console.WinSize) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.screen.Resize(int(size.Width), int(size.Height))
	if err := w.pty.Resize(size); err != nil {
		t.Fatal(err)
	}
}

// lines are those of the screen that are not empty.
func (w *window) lines() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var lines []string
	for line := range strings.Lines(w.screen.String()) {
		if line = strings.TrimRight(line, " \x00\n"); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// end waits for the program and gives all that it printed.
func (w *window) end(t *testing.T) string {
	t.Helper()
	if err := w.cmd.Wait(); err != nil {
		t.Errorf("the batch ended with %v: %q", err, w.lines())
	}
	<-w.ended
	return string(w.printed)
}

// see waits until the last lines of the screen are those of the patterns, and
// no other line is of the table.
func (w *window) see(t *testing.T, patterns ...string) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !looks(w.lines(), patterns) {
		if time.Now().After(deadline) {
			t.Fatalf("the screen is\n%s\nnot\n%s", strings.Join(w.lines(), "\n"), strings.Join(patterns, "\n"))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func looks(lines, patterns []string) bool {
	above := len(lines) - len(patterns)
	if above < 0 || slices.ContainsFunc(lines[:above], regexp.MustCompile(`recipes, |elapsed|^  slow`).MatchString) {
		return false
	}
	for i, p := range patterns {
		if !regexp.MustCompile("^" + p + "$").MatchString(lines[above+i]) {
			return false
		}
	}
	return true
}

// The table stands whole at the bottom of the screen, whatever the size of the
// terminal and whenever that changes, and is gone in the end.
func TestTableOnATerminal(t *testing.T) {
	dir := folder(t, nil, "a", "b", slow)
	for _, size := range []console.WinSize{{Width: 80, Height: 24}, {Width: 40, Height: 10}, {Width: 200, Height: 50}} {
		t.Run(fmt.Sprintf("%dx%d", size.Width, size.Height), func(t *testing.T) {
			open := make(chan struct{})
			g := openGate(t, open)
			letGo := sync.OnceFunc(func() { close(open) })
			defer letGo()
			w := openWindow(t, size, nil, "batch", dir, "--jobs", "2", "--push", g.url, "--state-dir", filepath.Join(t.TempDir(), "s"))
			head := `3 recipes, \d:\d\d, 2 built, 0\.0 MB fetched, 0\.0 MB pushed`
			table := []string{head, "  recipe  stage   elapsed  cached", `  slow    push       \d:\d\d`}
			if size.Width == 40 {
				table[0] = `3 recipes, \d:\d\d, 2 built`
			}
			w.see(t, table...)
			above := strings.Join(w.lines(), "\n")
			if !regexp.MustCompile(`(?s)\[1/3\] [ab]: built in .*\[2/3\] [ab]: built in `).MatchString(above) {
				t.Errorf("the recipes that are done are not above the table:\n%s", above)
			}
			for range 2 {
				seen := w.lines()
				rig.WaitFor(t, 10*time.Second, "the next second", func() bool { return !slices.Equal(w.lines(), seen) })
				w.see(t, table...)
			}
			w.resize(t, console.WinSize{Width: 24, Height: 10})
			w.see(t, `3 recipes, \d:\d\d`, "  recipe  stage", "  slow    push")
			w.resize(t, console.WinSize{Width: 24, Height: 3})
			w.see(t, `3 recipes, \d:\d\d`, "  recipe  stage")
			w.resize(t, console.WinSize{Width: 120, Height: 30})
			w.see(t, append([]string{head}, table[1:]...)...)
			letGo()
			printed := w.end(t)
			if !strings.Contains(printed, "3 recipes in ") || regexp.MustCompile(`\x1b\[[0-9;]*[mJ]`).MatchString(printed) {
				t.Errorf("printed: %q", printed)
			}
			lines := w.lines()
			if !looks(lines, nil) || !strings.HasSuffix(lines[len(lines)-1], "if nothing were shared") {
				t.Errorf("the last screen is\n%s", strings.Join(lines, "\n"))
			}
		})
	}
}

// A terminal that cannot redraw gets the lines that a file gets.
func TestPlainLinesOnADumbTerminal(t *testing.T) {
	w := openWindow(t, console.WinSize{Width: 80, Height: 24}, []string{"TERM=dumb"}, "batch", folder(t, nil, "a"), "--state-dir", filepath.Join(t.TempDir(), "s"))
	printed := w.end(t)
	for _, line := range []string{"a: started\r\n", "[1/1] a: built in ", "1 recipe in "} {
		if !strings.Contains(printed, line) {
			t.Errorf("%q is missing in %q", line, printed)
		}
	}
	if strings.ContainsRune(printed, '\x1b') {
		t.Errorf("a dumb terminal is redrawn: %q", printed)
	}
}
