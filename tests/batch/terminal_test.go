package batch

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/tests/rig"
)

// window is a terminal, that of tmux, with riscv-build in it.
type window struct{ socket string }

type size struct{ width, height int }

// openWindow runs riscv-build in a terminal of that size. Its exit status is
// the last line on the screen.
func openWindow(t *testing.T, s size, env string, args ...string) *window {
	t.Helper()
	rig.Need(t, "tmux", "tmux")
	dir := t.TempDir()
	config := filepath.Join(dir, "config")
	if err := os.WriteFile(config, []byte("set-option -g status off\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := &window{socket: filepath.Join(dir, "socket")}
	w.tmux(t, append([]string{
		"-f", config, "new-session", "-d", "-x", strconv.Itoa(s.width), "-y", strconv.Itoa(s.height),
		"env", env, "sh", "-c", `"$@"; echo "exit status $?"; exec sleep 600`, "sh", rig.Binary,
	}, args...)...)
	t.Cleanup(func() { w.tmux(t, "kill-server") })
	return w
}

func (w *window) tmux(t *testing.T, args ...string) string {
	t.Helper()
	out, err := rig.Sh("tmux", append([]string{"-S", w.socket}, args...)...)
	if err != nil {
		t.Fatalf("tmux %q: %v: %s", args, err, out)
	}
	return out
}

// resize changes the terminal while riscv-build stands still: a terminal tells
// its program the new size only after it has broken its lines anew.
func (w *window) resize(t *testing.T, s size) {
	t.Helper()
	shell := strings.TrimSpace(w.tmux(t, "display-message", "-p", "#{pane_pid}"))
	var program int
	rig.WaitFor(t, 10*time.Second, "the program in the terminal", func() bool {
		text, err := os.ReadFile("/proc/" + shell + "/task/" + shell + "/children")
		if err == nil {
			program, err = strconv.Atoi(strings.TrimSpace(string(text)))
		}
		return err == nil
	})
	if err := syscall.Kill(program, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	w.tmux(t, "resize-window", "-x", strconv.Itoa(s.width), "-y", strconv.Itoa(s.height))
	want := fmt.Sprintf("%d %d", s.height, s.width)
	tty := strings.TrimSpace(w.tmux(t, "display-message", "-p", "#{pane_tty}"))
	rig.WaitFor(t, 10*time.Second, "the new size of the terminal", func() bool {
		out, err := rig.Sh("stty", "-F", tty, "size")
		return err == nil && strings.TrimSpace(out) == want
	})
	if err := syscall.Kill(program, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// lines are those on the screen, or with all those that can be scrolled back
// to, without the empty ones.
func (w *window) lines(t *testing.T, all bool) []string {
	t.Helper()
	args := []string{"capture-pane", "-p"}
	if all {
		args = append(args, "-S", "-")
	}
	var lines []string
	for line := range strings.Lines(w.tmux(t, args...)) {
		if line = strings.TrimRight(line, " \n"); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// see waits until the last lines on the screen are those of the patterns, and
// no other line is of the table.
func (w *window) see(t *testing.T, patterns ...string) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = compare(w.lines(t, true), patterns); err == nil {
			return
		}
	}
	t.Fatal(err)
}

func compare(lines, patterns []string) error {
	table := regexp.MustCompile(`recipes?, |elapsed|^  slow`)
	above := len(lines) - len(patterns)
	if above < 0 || slices.ContainsFunc(lines[:above], table.MatchString) {
		return fmt.Errorf("the terminal shows\n%s\nnot\n%s", strings.Join(lines, "\n"), strings.Join(patterns, "\n"))
	}
	for i, p := range patterns {
		if !regexp.MustCompile("^" + p + "$").MatchString(lines[above+i]) {
			return fmt.Errorf("the terminal shows\n%s\nand %q is not %q", strings.Join(lines, "\n"), lines[above+i], p)
		}
	}
	return nil
}

// The table stands whole at the bottom of the terminal, whatever its size and
// whenever that changes, and nothing of it is left in the end.
func TestTableOnATerminal(t *testing.T) {
	open := make(chan struct{})
	g := openGate(t, open)
	letGo := sync.OnceFunc(func() { close(open) })
	defer letGo()
	wide := []string{
		`3 recipes, \d:\d\d, 2 built, 0\.0 MB fetched, 0\.0 MB pushed`,
		"  recipe  stage   elapsed  cached",
		`  slow    push       \d:\d\d`,
	}
	narrow := []string{`3 recipes, \d:\d\d`, "  recipe  stage", "  slow    push"}

	w := openWindow(t, size{80, 24}, "TERM=tmux-256color", "batch", folder(t, nil, "a", "b", slow),
		"--jobs", "2", "--push", g.url, "--state-dir", filepath.Join(t.TempDir(), "s"))
	w.see(t, wide...)
	above := strings.Join(w.lines(t, false), "\n")
	if !regexp.MustCompile(`(?s)\[1/3\] [ab]: built in .*\[2/3\] [ab]: built in `).MatchString(above) {
		t.Errorf("the recipes that are done are not above the table:\n%s", above)
	}
	for range 2 {
		seen := w.lines(t, false)
		rig.WaitFor(t, 10*time.Second, "the next second", func() bool { return !slices.Equal(w.lines(t, false), seen) })
		w.see(t, wide...)
	}
	for _, step := range []struct {
		size
		table []string
	}{
		{size{40, 12}, []string{`3 recipes, \d:\d\d, 2 built`, wide[1], wide[2]}},
		{size{24, 12}, narrow},
		{size{120, 30}, wide},
		{size{24, 12}, narrow},
		{size{24, 4}, narrow},
		{size{80, 4}, wide},
		{size{80, 24}, wide},
	} {
		w.resize(t, step.size)
		w.see(t, step.table...)
	}
	letGo()
	w.see(t, ".*if nothing were shared", "exit status 0")
}

// In a terminal that is too low the table has fewer lines.
func TestTableOnALowTerminal(t *testing.T) {
	open := make(chan struct{})
	g := openGate(t, open)
	letGo := sync.OnceFunc(func() { close(open) })
	defer letGo()
	w := openWindow(t, size{24, 3}, "TERM=tmux-256color", "batch", folder(t, nil, slow), "--push", g.url, "--state-dir", filepath.Join(t.TempDir(), "s"))
	<-g.held
	w.see(t, `1 recipe, \d:\d\d`, "  recipe  stage")
	w.resize(t, size{80, 24})
	w.see(t, `1 recipe, \d:\d\d, 0\.0 MB fetched, 0\.0 MB pushed`, "  recipe  stage   elapsed  cached", `  slow    push       \d:\d\d`)
	letGo()
	w.see(t, ".*if nothing were shared", "exit status 0")
}

// A terminal that cannot redraw gets the lines that a file gets.
func TestPlainLinesOnADumbTerminal(t *testing.T) {
	w := openWindow(t, size{80, 24}, "TERM=dumb", "batch", folder(t, nil, "a"), "--state-dir", filepath.Join(t.TempDir(), "s"))
	w.see(t, ".*if nothing were shared", "exit status 0")
	if lines := w.lines(t, false); lines[0] != "a: started" {
		t.Errorf("the terminal shows\n%s", strings.Join(lines, "\n"))
	}
}
