package display

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/console"
	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"
)

// step makes the statuses of a step: started with a line of output, and completed.
func step(name, log string) (started, completed *client.SolveStatus) {
	begin := time.Now()
	end := begin.Add(time.Second)
	id := digest.FromString(name)
	return &client.SolveStatus{
			Vertexes: []*client.Vertex{{Digest: id, Name: name, Started: &begin}},
			Logs:     []*client.VertexLog{{Vertex: id, Stream: 1, Data: []byte(log), Timestamp: begin}},
		}, &client.SolveStatus{
			Vertexes: []*client.Vertex{{Digest: id, Name: name, Started: &begin, Completed: &end}},
		}
}

func newDisplay(t *testing.T, mode string) (*Display, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	d, err := New(&out, mode)
	if err != nil {
		t.Fatal(err)
	}
	return d, &out
}

// inOrder wants the texts in out, one after the other.
func inOrder(t *testing.T, out string, texts ...string) {
	t.Helper()
	rest := out
	for _, text := range texts {
		_, after, ok := strings.Cut(rest, text)
		if !ok {
			t.Fatalf("%q is missing or misplaced in:\n%s", text, out)
		}
		rest = after
	}
}

func TestPlainKeepsTheOrderOfJobsAndNotices(t *testing.T) {
	d, out := newDisplay(t, "auto")
	for _, name := range []string{"busybox", "nginx"} {
		d.Notice("building %s", name)
		j := d.Job(name)
		started, completed := step("[compile] make", "compiled "+name+" without a line's end")
		j.Status(started)
		j.Status(completed)
		j.Done()
		j.Done()
		d.Notice("built %s", name)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	inOrder(t, out.String(),
		"building busybox\n", "[busybox compile] make", "compiled busybox", "DONE", "built busybox\n",
		"building nginx\n", "[nginx compile] make", "compiled nginx", "DONE", "built nginx\n")
	if strings.Contains(out.String(), "\x1b") {
		t.Errorf("escape sequences where there is no terminal: %q", out)
	}
}

func TestSharedStepOfParallelJobs(t *testing.T) {
	d, out := newDisplay(t, "plain")
	a, b := d.Job("a"), d.Job("b")
	started, completed := step("unpack", "unpacking\n")
	for _, s := range []*client.SolveStatus{started, completed} {
		a.Status(s)
		b.Status(s)
	}
	if started.Vertexes[0].Name != "unpack" {
		t.Error("the engine's status was changed")
	}
	a.Done()
	b.Done()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	inOrder(t, out.String(), "[a] unpack", "DONE")
	inOrder(t, out.String(), "[b] unpack", "DONE")
}

func TestRawJSONIsStatusesOnly(t *testing.T) {
	d, out := newDisplay(t, "rawjson")
	d.Notice("a notice")
	started, completed := step("unpack", "unpacking\n")
	j := d.Job("nginx")
	j.Status(started)
	d.Warn("a warning")
	j.Status(completed)
	j.Done()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	var names []string
	for dec := json.NewDecoder(out); ; {
		var s client.SolveStatus
		if err := dec.Decode(&s); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		for _, v := range s.Vertexes {
			names = append(names, v.Name)
			if v.Name == "[nginx] unpack" && v.Digest != started.Vertexes[0].Digest {
				t.Error("rawjson shows another digest than the graph's")
			}
		}
	}
	if got := strings.Join(names, "; "); got != "a notice; [nginx] unpack; a warning; [nginx] unpack" {
		t.Errorf("got %s", got)
	}
}

func TestQuietWarnsOnly(t *testing.T) {
	d, out := newDisplay(t, "quiet")
	d.Notice("a notice")
	j := d.Job("nginx")
	started, _ := step("unpack", "unpacking\n")
	j.Status(started)
	d.Warn("a warning")
	j.Done()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if out.String() != "a warning\n" {
		t.Errorf("got %q", out)
	}
}

func TestInterruptedJobIsFlushed(t *testing.T) {
	d, out := newDisplay(t, "plain")
	started, _ := step("make", "the last words\n")
	d.Job("").Status(started) // never done
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	inOrder(t, out.String(), "make", "the last words")
	d.Notice("too late")
	d.Flush()
	if strings.Contains(out.String(), "too late") {
		t.Error("written after Close")
	}
}

func TestUnknownMode(t *testing.T) {
	if _, err := New(io.Discard, "fancy"); err == nil || !strings.Contains(err.Error(), "choose auto, plain, rawjson or quiet") {
		t.Errorf("got %v", err)
	}
}

type stuckWriter struct{ free chan struct{} }

func (w stuckWriter) Write(p []byte) (int, error) { <-w.free; return len(p), nil }

func TestAStuckTerminalDoesNotStopABuild(t *testing.T) {
	w := stuckWriter{make(chan struct{})}
	d, err := New(w, "plain")
	if err != nil {
		t.Fatal(err)
	}
	d.Notice("stuck")
	j := d.Job("nginx")
	reported := make(chan struct{})
	go func() {
		defer close(reported)
		for i := range 1000 {
			started, completed := step(fmt.Sprintf("step %d", i), "line\n")
			j.Status(started)
			j.Status(completed)
		}
	}()
	select {
	case <-reported:
	case <-time.After(5 * time.Second):
		t.Fatal("a status waited for the terminal")
	}
	close(w.free)
	j.Done()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errors.New("gone") }

func TestWriteErrorIsReportedOnce(t *testing.T) {
	d, err := New(failingWriter{}, "plain")
	if err != nil {
		t.Fatal(err)
	}
	d.Notice("one")
	d.Notice("two")
	if err := d.Close(); err == nil || !strings.Contains(err.Error(), "gone") {
		t.Errorf("got %v", err)
	}
}

func TestTerminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	t.Setenv("TTY_DISPLAY_RATE", "5") // milliseconds
	master, path, err := console.NewPty()
	if err != nil {
		t.Fatal(err)
	}
	slave := openTerminal(t, path)
	var mu sync.Mutex
	var out bytes.Buffer
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			mu.Lock()
			out.Write(buf[:n])
			mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	d, err := New(slave, "auto")
	if err != nil {
		t.Fatal(err)
	}
	j := d.Job("nginx")
	started, completed := step("make", "line\n")
	j.Status(started)
	d.Notice("a notice in between")
	j.Status(completed)
	j.Done()
	d.Notice("all done")
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		mu.Lock()
		ok := strings.Contains(out.String(), "all done")
		mu.Unlock()
		if ok {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	mu.Lock()
	defer mu.Unlock()
	inOrder(t, out.String(), "[nginx] make", "a notice in between\r\n", "=> [nginx] make", "all done\r\n")
}
