package display

import (
	"os"
	"strings"
	"testing"

	"github.com/containerd/console"
)

// openTerminal makes a display on a terminal of that kind.
func openTerminal(t *testing.T, term string) (*Display, console.Console) {
	t.Helper()
	t.Setenv("TERM", term)
	t.Setenv("XTERM_VERSION", "")
	t.Setenv("STY", "")
	t.Setenv("TMUX", "")
	pty, name, err := console.NewPty()
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close(); pty.Close() })
	d, err := New(tty, "auto", false)
	if err != nil {
		t.Fatal(err)
	}
	return d, pty
}

// A line that was as wide as the terminal takes more rows when that has become
// narrower, where the terminal breaks lines anew.
func TestBlockErasesAllRows(t *testing.T) {
	for _, c := range []struct {
		term string
		rows int
	}{{"xterm-256color", 3 + 1 + 1}, {"linux", 3}} {
		d, pty := openTerminal(t, c.term)
		b := &block{d: d, lines: func(Canvas) []string { return []string{strings.Repeat("x", 90), "", "short"} }}
		width := func(n uint16) {
			if err := pty.Resize(console.WinSize{Width: n, Height: 24}); err != nil {
				t.Fatal(err)
			}
		}
		width(80)
		drawn := b.draw()
		width(30)
		erased := b.erase()
		if want := strings.Repeat("x", 79) + "\n\nshort\n"; drawn != want {
			t.Errorf("drawn: %q", drawn)
		}
		if rows := strings.Count(erased, "\x1b[A"); rows != c.rows {
			t.Errorf("%s: %d rows are erased, not %d: %q", c.term, rows, c.rows, erased)
		}
	}
}

// A terminal that cannot redraw shows no block.
func TestNoBlockOnADumbTerminal(t *testing.T) {
	d, _ := openTerminal(t, "dumb")
	if _, ok := d.Block(func(Canvas) []string { return nil }); ok {
		t.Error("a dumb terminal is redrawn")
	}
}
