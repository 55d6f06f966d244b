package api

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestEventsResume(t *testing.T) {
	s := serve(t, nil)
	s.fake.add(false, "a\n", "b\n", "c\n")
	s.fake.add(true)
	resp, text := s.ask("GET /api/v1/builds/42/events", "read", "")
	if ct := resp.Header.Get("Content-Type"); ct != "text/event-stream" {
		t.Errorf("Content-Type %q", ct)
	}
	if got := ids(text); got != "1 2 3 4" {
		t.Errorf("ids %s: %s", got, text)
	}
	if !strings.Contains(text, "id: 4\nevent: status\ndata: {\"build\":42,\"seq\":4,") {
		t.Errorf("%s", text)
	}
	for what, want := range map[string][]string{"?after=2": nil, "?after=1": {"Last-Event-ID", "2"}, "": {"Last-Event-ID", "2"}} {
		if got := ids(s.want(200, "GET /api/v1/builds/42/events"+what, "read", "", want...)); got != "3 4" {
			t.Errorf("%s %s: %s", what, want, got)
		}
	}
	s.want(204, "GET /api/v1/builds/42/events?after=4", "read", "")
	s.want(404, "GET /api/v1/builds/7/events", "read", "")
	if text := s.want(200, "GET /api/v1/builds/42/log?follow=true", "read", ""); text != "a\nb\nc\n== succeeded\n" {
		t.Errorf("%q", text)
	}
	if text := s.want(200, "GET /api/v1/builds/42/log", "read", ""); text != "the log" {
		t.Errorf("%q", text)
	}
}

// ids are those of the events of a stream.
func ids(text string) string {
	var all []string
	for line := range strings.Lines(text) {
		if id, ok := strings.CutPrefix(line, "id: "); ok {
			all = append(all, strings.TrimSpace(id))
		}
	}
	return strings.Join(all, " ")
}

func TestEventsComeAsTheyHappen(t *testing.T) {
	s := serve(t, func(a *api) { a.heartbeat = 20 * time.Millisecond })
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r, _ := http.NewRequestWithContext(ctx, "GET", s.URL+"/api/v1/builds/42/events", nil)
	r.Header.Set("X-Role", "read")
	resp, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	next := func(want string) {
		t.Helper()
		for lines.Scan() {
			if lines.Text() == want {
				return
			}
		}
		t.Fatalf("no %q: %v", want, lines.Err())
	}
	next(":")
	s.fake.add(false, "one\n")
	next("id: 1")
	next(":")
	s.fake.add(true, "two\n")
	next("id: 2")
	next("id: 3")
	if rest, err := io.ReadAll(resp.Body); err != nil || strings.Contains(string(rest), "id:") {
		t.Errorf("%q %v", rest, err)
	}
	s.want(200, "HEAD /api/v1/builds/42/events", "read", "")
}

func TestFollowersAreCounted(t *testing.T) {
	s := serve(t, func(a *api) { a.maxFollowers = 1 })
	s.fake.add(false, "one\n")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r, _ := http.NewRequestWithContext(ctx, "GET", s.URL+"/api/v1/builds/42/events", nil)
	r.Header.Set("X-Role", "read")
	resp, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	s.want(503, "GET /api/v1/builds/42/events", "read", "")
	cancel()
	s.gone()
	s.fake.add(true)
	s.want(200, "GET /api/v1/builds/42/events", "read", "")
}

// gone waits until nobody follows.
func (s *testServer) gone() {
	s.t.Helper()
	for range 500 {
		if s.api.followers.Load() == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatalf("%d still follow", s.api.followers.Load())
}

func TestAStalledFollowerIsCutOffAndHarmsNobody(t *testing.T) {
	s := serve(t, func(a *api) { a.writeTimeout = 300 * time.Millisecond })
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /api/v1/builds/42/events HTTP/1.1\r\nHost: x\r\nX-Role: read\r\n\r\n")
	line := strings.Repeat("x", 64<<10) + "\n"
	for range 200 {
		s.fake.add(false, line)
	}
	s.fake.add(true)
	if got := strings.Fields(ids(s.want(200, "GET /api/v1/builds/42/events", "read", ""))); len(got) != 201 {
		t.Errorf("the other one has %d events", len(got))
	}
	s.gone()
}
