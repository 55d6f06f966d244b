package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/builder/service/store"
)

func TestFairOrder(t *testing.T) {
	r := open(t, t.TempDir(), nil)
	r.submit("one", service.Options{}, "a1", "a2", "a3", "a4")
	last := r.submit("two", service.Options{}, "b1", "b2", "b3")
	r.run()
	defer func() { r.stop() }()
	for _, b := range append(last, r.submit("one", service.Options{}, "a5")...) {
		if b, _ := r.await(b.ID); b.Status != service.Succeeded {
			t.Errorf("%s: %s %s", b.Recipe, b.Status, b.Error)
		}
	}
	if got := strings.Join(r.fake.order(), " "); got != "a1 b1 a2 b2 a3 b3 a4 a5" {
		t.Errorf("built in the order %s", got)
	}
}

// blocking makes builds wait: started gets their names, they go on when
// release does or end with the cause of their context.
func blocking(f *fake) (started chan string, release chan error) {
	started, release = make(chan string, 100), make(chan error)
	f.do = func(ctx context.Context, req builder.Request, _ builder.Display) error {
		started <- req.Recipe.Name
		select {
		case err := <-release:
			return err
		case <-ctx.Done():
			return fmt.Errorf("solving: %w", ctx.Err())
		}
	}
	return started, release
}

func TestIdenticalOnce(t *testing.T) {
	r := open(t, t.TempDir(), nil)
	started, release := blocking(r.fake)
	leader := r.submit("one", service.Options{}, "a")[0]
	early := r.submit("two", service.Options{Mode: "auto"}, "a")[0]
	own := r.submit("two", service.Options{NoCache: true}, "a")[0]
	other := r.submit("two", service.Options{Tags: []string{"x"}}, "a")[0]
	if early.SameAs != leader.ID || own.SameAs != 0 || other.SameAs != 0 {
		t.Errorf("same as %d, %d, %d", early.SameAs, own.SameAs, other.SameAs)
	}
	r.run()
	defer func() { r.stop() }()
	<-started
	late := r.submit("three", service.Options{}, "a")[0]
	if late.SameAs != leader.ID || late.Status != service.Running {
		t.Errorf("a build of what runs is %s as %d", late.Status, late.SameAs)
	}
	if b, err := r.Cancel(t.Context(), late.ID, "three"); err != nil || b.Status != service.Cancelled {
		t.Errorf("cancelling a follower: %s, %v", b.Status, err)
	}
	release <- errors.New("no luck")
	for _, id := range []int64{leader.ID, early.ID} {
		b, events := r.await(id)
		if b.Status != service.Failed || b.Error != "no luck" || statuses(events) != "queued running failed " {
			t.Errorf("build %d: %s, %q, %s", id, b.Status, b.Error, statuses(events))
		}
	}
	go func() { release <- nil; release <- nil }()
	for _, id := range []int64{own.ID, other.ID} {
		if b, _ := r.await(id); b.Status != service.Succeeded {
			t.Errorf("build %d: %s", id, b.Status)
		}
	}
	if n := len(r.fake.order()); n != 3 {
		t.Errorf("%d were built", n)
	}
}

func TestCancelLeader(t *testing.T) {
	r := open(t, t.TempDir(), nil)
	started, release := blocking(r.fake)
	list := []service.Build{}
	for i := range 4 {
		list = append(list, r.submit(fmt.Sprint(i), service.Options{}, "a")...)
	}
	if _, err := r.Cancel(t.Context(), list[0].ID, "x"); err != nil { // queued: the second leads
		t.Fatal(err)
	}
	r.run()
	defer func() { r.stop() }()
	<-started
	b, err := r.Cancel(t.Context(), list[1].ID, "somebody") // running: the third is built
	if err != nil || b.Status != service.Cancelled || b.Exit != 130 || !strings.Contains(b.Error, "somebody") {
		t.Errorf("cancelling what runs: %+v, %v", b, err)
	}
	<-started
	release <- nil
	for i, want := range []string{"queued cancelled ", "queued queued running cancelled ", "queued queued running queued running succeeded ", "queued queued running queued running succeeded "} {
		if _, events := r.await(list[i].ID); statuses(events) != want {
			t.Errorf("build %d: %s", i, statuses(events))
		}
	}
	var conflict *service.ConflictError
	if _, err := r.Cancel(t.Context(), list[3].ID, "x"); !errors.As(err, &conflict) {
		t.Errorf("cancelling what has ended: %v", err)
	}
	again, err := r.Retry(t.Context(), list[3].ID, "me")
	if err != nil || again.RetryOf != list[3].ID || again.Cause != service.ByRetry || again.Inputs != list[3].Inputs {
		t.Errorf("again: %+v, %v", again, err)
	}
	<-started
	release <- nil
	r.await(again.ID)
}

func TestStopQueuesAgain(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir, nil)
	started, _ := blocking(r.fake)
	b := r.submit("one", service.Options{}, "a")[0]
	r.submit("two", service.Options{}, "a")
	r.run()
	<-started
	r.stop()
	r = open(t, dir, nil)
	if again, err := r.Queue.Build(t.Context(), b.ID); err != nil || again.Status != service.Queued || again.Attempt != 1 {
		t.Errorf("after the end of the service: %+v, %v", again, err)
	}
	r.run()
	defer func() { r.stop() }()
	for id := b.ID; id < b.ID+2; id++ {
		if b, events := r.await(id); b.Attempt != 2 || statuses(events) != "queued running queued running succeeded " {
			t.Errorf("attempt %d, %s", b.Attempt, statuses(events))
		}
	}
}

// TestKilled goes on from the files as a kill would leave them.
func TestKilled(t *testing.T) {
	dir, copied := t.TempDir(), t.TempDir()
	r := open(t, dir, nil)
	var ready atomic.Bool
	r.fake.do = func(ctx context.Context, _ builder.Request, show builder.Display) error {
		show.Notice("at work")
		<-ctx.Done()
		return ctx.Err()
	}
	b := r.submit("one", service.Options{}, "a")[0]
	r.submit("two", service.Options{}, "a")
	r.run()
	defer func() { r.stop() }()
	for !ready.Load() {
		events, wait, err := r.Events(t.Context(), b.ID, 2, 10)
		if err != nil {
			t.Fatal(err)
		}
		ready.Store(len(events) > 0)
		if len(events) == 0 {
			<-wait
		}
	}
	for _, end := range []string{"", "-wal"} {
		data, err := os.ReadFile(filepath.Join(dir, "service.db"+end))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(copied, "service.db"+end), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n := open(t, copied, nil)
	n.run()
	defer func() { n.stop() }()
	for id := b.ID; id < b.ID+2; id++ {
		if b, events := n.await(id); b.Attempt != 2 || statuses(events) != "queued running queued running succeeded " {
			t.Errorf("build %d: attempt %d, %s", id, b.Attempt, statuses(events))
		}
	}
}

func TestFollowers(t *testing.T) {
	r := open(t, t.TempDir(), func(c *Config) {
		c.Redact = func(s string) string { return strings.ReplaceAll(s, "secret", "***") }
	})
	const n = 3000
	step := digest.FromString("step")
	r.fake.do = func(_ context.Context, req builder.Request, show builder.Display) error {
		req.Stage("engine")
		p := show.Progress("a")
		now := time.Now()
		for range 2 { // BuildKit starts a step again that was completed
			p.Status(&client.SolveStatus{Vertexes: []*client.Vertex{{Digest: step, Name: "[1/1] secret", Started: &now}}})
			p.Status(&client.SolveStatus{Vertexes: []*client.Vertex{{Digest: step, Name: "[1/1] secret", Started: &now, Completed: &now}}})
		}
		for i := range n {
			line := fmt.Sprintf("line %d secret\n", i)
			for _, half := range []string{line[:5], line[5:]} {
				p.Status(&client.SolveStatus{Logs: []*client.VertexLog{{Vertex: step, Stream: 1, Data: []byte(half)}}})
			}
		}
		p.Status(&client.SolveStatus{Logs: []*client.VertexLog{{Vertex: step, Stream: 2, Data: []byte("no end")}}})
		return nil
	}
	b := r.submit("one", service.Options{}, "a")[0]
	var followers sync.WaitGroup
	for range 20 {
		followers.Go(func() {
			if _, events := r.await(b.ID); len(events) != 1+1+1+2+n+1+1 {
				t.Errorf("%d events", len(events))
			}
		})
	}
	r.run()
	defer func() { r.stop() }()
	followers.Wait()
	for name, want := range map[string]string{
		service.LogArtefact: "#1 line 2999 ***\n", service.GraphArtefact: "{}", service.ReportArtefact: `"engine": "fake"`,
	} {
		f, err := r.Artefact(t.Context(), b.ID, name)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(f)
		if err := errors.Join(err, f.Close()); err != nil || !strings.Contains(string(text), want) || strings.Contains(string(text), "secret") {
			t.Errorf("%s: %v\n%.2000s", name, err, text)
		}
	}
	var missing *service.NotFoundError
	if _, err := r.Artefact(t.Context(), b.ID, service.LockArtefact); !errors.As(err, &missing) {
		t.Errorf("a lock that there was none: %v", err)
	}
}

func TestFloor(t *testing.T) {
	var free atomic.Int64
	free.Store(1000)
	r := open(t, t.TempDir(), func(c *Config) {
		c.Disk = Disk{Floor: 100, Free: func() (int64, error) { return free.Load(), nil }}
	})
	started, _ := blocking(r.fake)
	b := r.submit("one", service.Options{}, "a")[0]
	r.run()
	defer func() { r.stop() }()
	<-started
	free.Store(99)
	got, _ := r.await(b.ID)
	if got.Status != service.Failed || !strings.Contains(got.Error, "99 bytes") || !strings.Contains(got.Error, "cache prune") {
		t.Errorf("%s: %s", got.Status, got.Error)
	}
	r.submit("one", service.Options{}, "b")
	for until := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		s, err := r.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(s.Waiting, "99 bytes") && s.Builds[service.Queued] == 1 {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("%+v", s)
		}
	}
}

func TestRefused(t *testing.T) {
	r := open(t, t.TempDir(), func(c *Config) { c.MaxQueued = 3 })
	defer func() { r.stop() }()
	for field, o := range map[string]service.Options{
		"options.mode": {Mode: "fast"}, "options.push[1]": {Push: []string{"a.lan", "?"}}, "options.tags[0]": {Tags: []string{"a:b"}},
		"options.update": {Update: true, Locked: true}, "options.no_push": {NoPush: true, Push: []string{"a.lan"}},
	} {
		var invalid *service.InvalidError
		if _, err := r.Submit(t.Context(), service.Submission{Recipes: []string{"a"}, Options: o}); !errors.As(err, &invalid) || invalid.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	r.submit("one", service.Options{}, "a", "b")
	var later *service.UnavailableError
	if _, err := r.Submit(t.Context(), service.Submission{Recipes: []string{"c", "d"}}); !errors.As(err, &later) {
		t.Errorf("too many: %v", err)
	}
	if list, err := r.Builds(t.Context(), service.Filter{}); err != nil || len(list) != 2 || list[0].Recipe != "b" {
		t.Errorf("%v, %v", list, err)
	}
	for _, s := range []service.Schedule{
		{Name: "Bad", Cron: "@daily", Recipes: []string{"a"}}, {Name: "a", Cron: "* * * * * *", Recipes: []string{"a"}},
		{Name: "a", Cron: "61 * * * *", Recipes: []string{"a"}}, {Name: "a", Cron: "0 0 30 2 *", Recipes: []string{"a"}},
		{Name: "a", Cron: "@daily"}, {Name: "a", Cron: "@daily", Recipes: []string{"a", "*"}},
		{Name: "a", Cron: "@daily", Recipes: []string{"a"}, When: "never"},
	} {
		var invalid *service.InvalidError
		if _, err := r.PutSchedule(t.Context(), s); !errors.As(err, &invalid) {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

func TestNoPush(t *testing.T) {
	r := open(t, t.TempDir(), nil)
	defer func() { r.stop() }()
	if b := r.submit("one", service.Options{}, "a")[0]; len(b.Options.Push) != 1 {
		t.Errorf("by default it is pushed to %q", b.Options.Push)
	}
	if b := r.submit("one", service.Options{NoPush: true}, "a")[0]; len(b.Options.Push) != 0 || b.SameAs != 0 {
		t.Errorf("pushed to %q, same as %d", b.Options.Push, b.SameAs)
	}
}

func TestKeep(t *testing.T) {
	r := open(t, t.TempDir(), func(c *Config) { c.Retention = store.Retention{Builds: 2} })
	list := r.submit("one", service.Options{}, "a", "b", "c")
	r.run()
	for _, b := range list {
		r.await(b.ID)
	}
	r.stop()
	r = open(t, filepath.Dir(r.cfg.Store.Path()), func(c *Config) { c.Retention = store.Retention{Builds: 2} })
	defer func() { r.stop() }()
	r.fake.swept = []digest.Digest{list[0].Tree, list[2].Tree}
	r.keep(t.Context())
	if left, err := r.Builds(t.Context(), service.Filter{}); err != nil || len(left) != 2 {
		t.Errorf("%d builds are left, %v", len(left), err)
	}
	if len(r.fake.kept) != 1 || r.fake.kept[0] != list[2].Tree {
		t.Errorf("kept trees: %v", r.fake.kept)
	}
}
