package screen

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	bkclient "github.com/moby/buildkit/client"

	"github.com/riscv-build/riscv-build/builder/engine"
	"github.com/riscv-build/riscv-build/builder/service"
)

// told notes what is shown.
type told struct{ lines []string }

func (t *told) Notice(format string, args ...any) {
	t.lines = append(t.lines, "notice "+fmt.Sprintf(format, args...))
}
func (t *told) Verbose(string, ...any) {}
func (t *told) Progress(name string) engine.Progress {
	t.lines = append(t.lines, "begin "+name)
	return t
}

func (t *told) Status(s *bkclient.SolveStatus) {
	for _, v := range s.Vertexes {
		t.lines = append(t.lines, "vertex "+v.Name)
	}
	for _, l := range s.Logs {
		t.lines = append(t.lines, "log "+string(l.Data))
	}
}

func (t *told) Close() error {
	t.lines = append(t.lines, "end")
	return nil
}

func event(t *testing.T, kind string, data any) service.Event {
	t.Helper()
	raw, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	return service.Event{Kind: kind, Data: raw, Time: time.Now()}
}

func TestShow(t *testing.T) {
	shown := &told{}
	s := &Screen{Name: "x", To: shown}
	for _, e := range []service.Event{
		event(t, service.StatusEvent, service.StatusData{Status: service.Queued}),
		event(t, service.StatusEvent, service.StatusData{Status: service.Running, Attempt: 1}),
		event(t, service.StageEvent, service.StageData{Stage: "engine"}),
		event(t, service.NoticeEvent, service.NoticeData{Text: "100%"}),
		event(t, service.VertexEvent, service.VertexData{Name: "compile"}),
		event(t, service.LogEvent, service.LogData{Stream: 1, Text: "cc"}),
		event(t, service.StatusEvent, service.StatusData{Status: service.Queued, Why: "the service had ended under it"}),
		event(t, service.StatusEvent, service.StatusData{Status: service.Running, Attempt: 2}),
		event(t, service.VertexEvent, service.VertexData{Name: "compile"}),
		event(t, service.StageEvent, service.StageData{Stage: "check"}),
		event(t, service.StatusEvent, service.StatusData{Status: service.Succeeded}),
	} {
		if err := s.Show(e); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"notice 100%", "begin x", "vertex compile", "log cc", "end", "notice x: queued again: the service had ended under it",
		"notice x: begins anew", "begin x", "vertex compile", "end",
	}
	if !slices.Equal(shown.lines, want) {
		t.Errorf("got %q", shown.lines)
	}
	if err := s.Show(service.Event{Kind: service.LogEvent, Data: []byte("{")}); err == nil {
		t.Error("a damaged event was taken")
	}
}
