package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/builder/service/api"
)

// builds is a service with several builds.
type builds struct {
	service.Service
	mu     sync.Mutex
	events map[int64][]service.Event
	more   chan struct{}
}

func (f *builds) add(id int64, kind, data string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events[id] = append(f.events[id], service.Event{Build: id, Seq: int64(len(f.events[id]) + 1), Kind: kind, Data: json.RawMessage(data)})
	close(f.more)
	f.more = make(chan struct{})
}

func (f *builds) Build(_ context.Context, id int64) (service.Build, error) {
	return service.Build{ID: id}, nil
}

func (f *builds) Events(_ context.Context, id, after int64, _ int) ([]service.Event, <-chan struct{}, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.events[id]
	left := all[min(after, int64(len(all))):]
	if n := len(all); n > 0 && final(all[n-1]) {
		return left, nil, nil
	}
	return left, f.more, nil
}

func beginBuilds(t *testing.T) (*Client, *builds) {
	t.Helper()
	f := &builds{events: map[int64][]service.Event{}, more: make(chan struct{})}
	server := httptest.NewServer(open(api.New(api.Options{Service: f})))
	t.Cleanup(server.Close)
	c, err := New(Options{URL: server.URL, Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	c.pause = time.Millisecond
	return c, f
}

func log(n int) string { return fmt.Sprintf(`{"stream":1,"text":"%d\\n"}`, n) }

// TestFollowingShowsWhatTheLeaderDoes: build 3 is made as 1, then, when that is
// cancelled, as 2, then by itself.
func TestFollowingShowsWhatTheLeaderDoes(t *testing.T) {
	c, f := beginBuilds(t)
	seen := make(chan string, 100)
	ended := make(chan error, 1)
	go func() {
		ended <- c.FollowWhole(t.Context(), 3, func(e service.Event) error {
			seen <- fmt.Sprintf("%d %s", e.Build, e.Kind)
			return nil
		})
	}()
	await := func(want string) {
		t.Helper()
		select {
		case got := <-seen:
			if got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%q does not come", want)
		}
	}
	f.add(1, service.LogEvent, log(1))
	f.add(3, service.StatusEvent, `{"status":"queued","same_as":1}`)
	if got := []string{<-seen, <-seen}; !slices.Contains(got, "3 status") || !slices.Contains(got, "1 log") {
		t.Fatal(got)
	}
	f.add(3, service.StatusEvent, `{"status":"queued","same_as":2}`)
	await("3 status")
	f.add(1, service.LogEvent, log(2))
	f.add(2, service.StatusEvent, `{"status":"running"}`)
	f.add(2, service.StageEvent, `{"stage":"lock"}`)
	await("2 stage")
	f.add(3, service.StatusEvent, `{"status":"queued"}`)
	await("3 status")
	f.add(2, service.StageEvent, `{"stage":"graph"}`)
	f.add(3, service.VertexEvent, `{}`)
	await("3 vertex")
	f.add(3, service.StatusEvent, `{"status":"succeeded"}`)
	await("3 status")
	if err := <-ended; err != nil || len(seen) > 0 {
		t.Error(err, len(seen))
	}
}

// TestBothAreShownToTheEnd: the end of a build comes after all that its leader printed.
func TestBothAreShownToTheEnd(t *testing.T) {
	c, f := beginBuilds(t)
	for i := range 500 {
		f.add(1, service.LogEvent, log(i))
	}
	f.add(1, service.StatusEvent, `{"status":"succeeded"}`)
	f.add(2, service.StatusEvent, `{"status":"running","same_as":1}`)
	f.add(2, service.StatusEvent, `{"status":"succeeded","same_as":1}`)
	var got []string
	show := func(e service.Event) error { got = append(got, fmt.Sprintf("%d %d", e.Build, e.Seq)); return nil }
	if err := c.FollowWhole(t.Context(), 2, show); err != nil || len(got) != 502 || got[501] != "2 2" || !strings.Contains(strings.Join(got[:501], ","), "1 499,1 500") {
		t.Errorf("%v, %d events", err, len(got))
	}
	// One that was cancelled alone does not wait for the other.
	f.add(4, service.LogEvent, log(1))
	f.add(5, service.StatusEvent, `{"status":"running","same_as":4}`)
	f.add(5, service.StatusEvent, `{"status":"cancelled","same_as":4}`)
	if err := c.FollowWhole(t.Context(), 5, show); err != nil {
		t.Error(err)
	}
	stop := errors.New("enough")
	err := c.FollowWhole(t.Context(), 2, func(e service.Event) error {
		if e.Build == 1 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) {
		t.Error(err)
	}
}
