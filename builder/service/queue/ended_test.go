package queue

import (
	"context"
	"fmt"
	"io"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/builder/service/access"
	"github.com/riscv-build/riscv-build/builder/service/api"
	"github.com/riscv-build/riscv-build/builder/service/store"
)

// TestEndedIsToldOnce: of a build, of one that followed it, and of one that
// never ran; the metrics count those that ran.
func TestEndedIsToldOnce(t *testing.T) {
	metrics := api.NewMetrics()
	told := make(chan int64, 10)
	r := open(t, t.TempDir(), func(c *Config) {
		c.Ended = func(b service.Build) {
			if !b.Status.Final() {
				t.Errorf("build %d is %s", b.ID, b.Status)
			}
			metrics.Ended(b)
			told <- b.ID
		}
	})
	r.fake.do = func(_ context.Context, _ builder.Request, show builder.Display) error {
		show.Notice("at work")
		return nil
	}
	want := []int64{}
	for _, b := range append(r.submit("one", service.Options{}, "a", "b"), r.submit("two", service.Options{}, "a")...) {
		want = append(want, b.ID)
	}
	if _, err := r.Cancel(t.Context(), want[1], "one"); err != nil {
		t.Fatal(err)
	}
	r.run()
	for _, id := range want {
		r.await(id)
	}
	log, err := r.Artefact(t.Context(), want[2], service.LogArtefact)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(log); err != nil || !strings.Contains(string(text), "at work") {
		t.Errorf("the log of a follower: %q, %v", text, err)
	}
	calls := api.New(api.Options{Service: r.Queue, Metrics: metrics})
	ask := httptest.NewRequest("GET", "/metrics", nil)
	answer := httptest.NewRecorder()
	r.stop()
	calls.ServeHTTP(answer, ask.WithContext(access.With(t.Context(), access.Identity{Name: "x", Role: access.Read})))
	if !strings.Contains(answer.Body.String(), `riscv_build_build_seconds_count{status="succeeded"} 2`) {
		t.Errorf("got %s", answer.Body)
	}
	close(told)
	got := []int64{}
	for id := range told {
		got = append(got, id)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("told of %v, want %v", got, want)
	}
}

// TestWhatEndsTheServiceIsGivenUp: a build that was running at each of the last
// ends of the service is not begun again, nor is what followed it; others are.
func TestWhatEndsTheServiceIsGivenUp(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir, nil)
	ids := []int64{}
	for _, b := range append(r.submit("one", service.Options{}, "a", "b"), r.submit("two", service.Options{}, "a")...) {
		ids = append(ids, b.ID)
	}
	for attempt := 1; attempt <= maxAttempts; attempt++ {
		if err := r.change(t.Context(), func(tx *store.Tx) error { // as next does
			b, err := tx.Build(ids[0])
			if err == nil {
				_, err = putAll(tx, b, "", begin)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		r.stop()
		r = open(t, dir, nil)
	}
	if n, err := r.cfg.Store.Counts(t.Context()); err != nil || n[service.Queued] != 1 {
		t.Fatalf("%v, %v", n, err)
	}
	r.run()
	defer func() { r.stop() }()
	for i, want := range []service.Status{service.Failed, service.Succeeded, service.Failed} {
		b, events := r.await(ids[i])
		if b.Status != want || want == service.Failed && (!strings.Contains(b.Error, "5 times") || !strings.Contains(b.Error, fmt.Sprintf("retry %d", ids[0]))) {
			t.Errorf("build %d: %s, %q, %s", b.ID, b.Status, b.Error, statuses(events))
		}
	}
	if got := r.fake.order(); !slices.Equal(got, []string{"b"}) {
		t.Errorf("built %v", got)
	}
}

// TestEngineOfTheService names the engine that made the last build which needed one.
func TestEngineOfTheService(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir, nil)
	state := func() string {
		s, err := r.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s.Engine
	}
	results := map[string]*builder.Result{
		"a": {Engine: "none"}, "b": {Engine: "none", Base: &builder.Result{Engine: "embedded", Worker: "runc"}}, "c": {Engine: "none"},
	}
	r.fake.result = func(name string) *builder.Result { return results[name] }
	r.run()
	for _, want := range []string{"a", "b embedded (runc)", "c embedded (runc)"} {
		name, engine, _ := strings.Cut(want, " ")
		r.await(r.submit("one", service.Options{}, name)[0].ID)
		if got := state(); got != engine {
			t.Errorf("after %s: %q", name, got)
		}
	}
	r.stop()
	r = open(t, dir, nil)
	defer func() { r.stop() }()
	if got := state(); got != "embedded (runc)" {
		t.Errorf("after the next start: %q", got)
	}
}
