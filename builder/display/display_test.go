package display

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/builder/fetch"
)

func status(name string) *client.SolveStatus {
	now := time.Now()
	return &client.SolveStatus{Vertexes: []*client.Vertex{{
		Digest: digest.FromString(name), Name: name, Started: &now, Completed: &now,
	}}}
}

func TestModes(t *testing.T) {
	for _, mode := range Modes {
		if _, err := New(io.Discard, mode, false); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
	}
	if _, err := New(io.Discard, "tty", false); err == nil || !strings.Contains(err.Error(), "auto, plain") {
		t.Errorf("got %v", err)
	}
}

func TestPlain(t *testing.T) {
	var out bytes.Buffer
	d, err := New(&out, "auto", true)
	if err != nil {
		t.Fatal(err)
	}
	d.Notice("hello %s", "world")
	d.Verbose("mode cross: host is amd64")
	p := d.Progress("nginx")
	p.Status(status("compile"))
	if err := p.(io.Closer).Close(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"hello world\n", "mode cross", "compile"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in %q", want, out.String())
		}
	}
}

func TestQuietShowsNoticesOnly(t *testing.T) {
	var out bytes.Buffer
	d, err := New(&out, "quiet", false)
	if err != nil {
		t.Fatal(err)
	}
	if d.Progress("x") != nil {
		t.Error("quiet shows a graph")
	}
	d.Verbose("no")
	d.Fetching(fetch.Event{Name: "a.deb", Notice: "mirror lied"})
	d.Flush()
	if out.String() != "a.deb: mirror lied\n" {
		t.Errorf("got %q", out.String())
	}
}

func TestRawJSONIsJSON(t *testing.T) {
	var out bytes.Buffer
	d, err := New(&out, "rawjson", false)
	if err != nil {
		t.Fatal(err)
	}
	d.Notice("one")
	for _, kind := range []string{"fetch", "push"} {
		d.Transfer(kind, digest.FromString("x"), 1, false)
		d.moves[kind].shown = time.Now().Add(-time.Hour)
		d.Transfer(kind, digest.FromString("x"), 5, true)
	}
	d.Progress("x").Status(status("compile"))
	d.Flush()
	dec := json.NewDecoder(&out)
	var n int
	for ; ; n++ {
		var v map[string]any
		if err := dec.Decode(&v); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if n < 4 {
		t.Errorf("got %d objects", n)
	}
}

// Everything that is reported before the end is shown, from many goroutines.
func TestNothingIsLost(t *testing.T) {
	var out bytes.Buffer
	d, err := New(&out, "plain", false)
	if err != nil {
		t.Fatal(err)
	}
	p := d.Progress("many")
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			p.Status(status("step " + string(rune('a'+i))))
			d.Notice("notice %d", i)
		})
	}
	wg.Wait()
	d.Flush()
	d.Flush()
	p.Status(status("too late"))
	for i := range 20 {
		if !strings.Contains(out.String(), "step "+string(rune('a'+i))) {
			t.Errorf("step %d is missing", i)
		}
	}
	if strings.Contains(out.String(), "too late") {
		t.Error("a report after the end was shown")
	}
}
