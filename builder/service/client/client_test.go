package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/builder/service/access"
	"github.com/riscv-build/riscv-build/builder/service/api"
	"github.com/riscv-build/riscv-build/recipes"
)

// fake is a service with build 42, which has events so far.
type fake struct {
	service.Service
	mu     sync.Mutex
	events []service.Event
	got    service.Submission
	filter service.Filter
	put    service.Schedule
}

func (f *fake) add(kind, data string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, service.Event{Build: 42, Seq: int64(len(f.events) + 1), Kind: kind, Data: json.RawMessage(data)})
}
func (f *fake) Submit(_ context.Context, s service.Submission) ([]service.Build, error) {
	f.got = s
	return []service.Build{{ID: 42}}, nil
}
func (f *fake) Build(_ context.Context, id int64) (service.Build, error) {
	if id != 42 {
		return service.Build{}, &service.NotFoundError{What: fmt.Sprintf("build %d", id)}
	}
	return service.Build{ID: 42}, nil
}
func (f *fake) Builds(_ context.Context, filter service.Filter) ([]service.Build, error) {
	f.filter = filter
	return []service.Build{{ID: 42}}, nil
}
func (f *fake) PutSchedule(_ context.Context, s service.Schedule) (service.Schedule, error) {
	f.put = s
	return s, nil
}
func (f *fake) DeleteSchedule(context.Context, string) error { return nil }
func (f *fake) Artefact(context.Context, int64, string) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader("text")), nil
}
func (f *fake) Events(_ context.Context, _, after int64, limit int) ([]service.Event, <-chan struct{}, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if after < int64(len(f.events)) {
		return f.events[after:min(int64(len(f.events)), after+int64(limit))], nil, nil
	}
	if n := len(f.events); n > 0 && f.events[n-1].Kind == service.StatusEvent {
		return nil, nil, nil
	}
	return nil, make(chan struct{}), nil
}

// open lets everybody with the token in.
func open(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer secret" {
			r = r.WithContext(access.With(r.Context(), access.Identity{Name: "ci", Role: access.Admin}))
		}
		next.ServeHTTP(w, r)
	})
}

func begin(t *testing.T, between func(http.Handler) http.Handler) (*Client, *fake) {
	t.Helper()
	f := &fake{}
	server := httptest.NewServer(between(open(api.New(api.Options{Service: f}))))
	t.Cleanup(server.Close)
	c, err := New(Options{URL: server.URL, Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	c.pause = time.Millisecond
	return c, f
}

func unchanged(h http.Handler) http.Handler { return h }

func TestCalls(t *testing.T) {
	c, f := begin(t, unchanged)
	ctx := t.Context()
	all, err := c.Submit(ctx, service.Submission{Upload: &service.Upload{Recipes: []string{"a.toml"}, Files: []service.File{{Path: "a.toml", Mode: 0o644, Content: []byte("x\x00")}}}})
	if err != nil || len(all) != 1 || string(f.got.Upload.Files[0].Content) != "x\x00" || f.got.Client != "ci" {
		t.Errorf("%v %v %+v", all, err, f.got)
	}
	if all, err := c.Builds(ctx, service.Filter{Status: []service.Status{service.Failed}, Recipe: "a&b", Before: 7, Limit: 3}); err != nil || len(all) != 1 || f.filter.Recipe != "a&b" || f.filter.Before != 7 || f.filter.Limit != 3 {
		t.Errorf("%v %v %+v", all, err, f.filter)
	}
	if _, err := c.Builds(ctx, service.Filter{}); err != nil {
		t.Error(err)
	}
	now := time.Now()
	if _, err := c.PutSchedule(ctx, service.Schedule{Name: "n", Cron: "@daily", Recipes: []string{"*"}, When: service.Always, Last: &now}); err != nil || f.put.Cron != "@daily" {
		t.Errorf("%v %+v", err, f.put)
	}
	if err := c.DeleteSchedule(ctx, "n"); err != nil {
		t.Error(err)
	}
	r, err := c.Artefact(ctx, 42, service.LogArtefact)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(r); err != nil || string(text) != "text" || r.Close() != nil {
		t.Errorf("%q %v", text, err)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	c, _ := begin(t, unchanged)
	says := func(err error, status int, words ...string) {
		t.Helper()
		var e *Error
		if errors.As(err, &e) != (status > 0) || status > 0 && e.Status != status {
			t.Errorf("%v is not of status %d", err, status)
		}
		for _, w := range words {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%v does not say %q", err, w)
			}
		}
	}
	_, err := c.Build(t.Context(), 7)
	says(err, 404, "build 7")
	_, err = c.Submit(t.Context(), service.Submission{Recipes: []string{"a"}, Options: service.Options{Mode: "odd"}})
	says(err, 422, "body.options.mode")
	c.token = ""
	_, err = c.State(t.Context())
	says(err, 401, "RISCV_BUILD_TOKEN", `"read"`)
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	c.base = other.URL
	_, err = c.State(t.Context())
	says(err, 404, "check the address")
	c.base = "http://127.0.0.1:1"
	_, err = c.State(t.Context())
	says(err, 0, "riscv-build serve")
}

func TestATokenIsNotSentInTheOpen(t *testing.T) {
	for url, ok := range map[string]bool{
		"http://8.8.8.8:80": false, "http://[2001:4860:4860::8888]": false, "http://127.0.0.1:1": true, "http://192.168.1.5:8080": true,
		"http://[fe80::1]:80": true, "https://8.8.8.8": true, "http://name": true, "ftp://x": false, "x": false, "unix://host/x": false,
		"unix:///run/x": true, "http://user:pw@10.0.0.1": false, "": false,
	} {
		if _, err := New(Options{URL: url, Token: "secret"}); (err == nil) != ok {
			t.Errorf("%q: %v", url, err)
		}
	}
	if err := controlLocal("tcp", "8.8.8.8:80", nil); !errors.Is(err, errPublic) {
		t.Error(err)
	}
	if _, err := New(Options{URL: "http://8.8.8.8"}); err != nil {
		t.Error(err)
	}
}

func TestASocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: open(api.New(api.Options{Service: &fake{}}))}
	go server.Serve(l)
	defer server.Close()
	c, err := New(Options{URL: "unix://" + path, Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := c.Build(t.Context(), 42); err != nil || b.ID != 42 {
		t.Errorf("%v %v", b, err)
	}
}

// breaking ends every answer after some bytes.
func breaking(after int) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(&broken{ResponseWriter: w, left: after}, r)
		})
	}
}

type broken struct {
	http.ResponseWriter
	left int
}

func (b *broken) Unwrap() http.ResponseWriter { return b.ResponseWriter }

func (b *broken) Write(p []byte) (int, error) {
	if len(p) < b.left {
		b.left -= len(p)
		return b.ResponseWriter.Write(p)
	}
	b.ResponseWriter.Write(p[:b.left])
	http.NewResponseController(b.ResponseWriter).Flush()
	panic(http.ErrAbortHandler)
}

func TestFollowingGoesOnAfterABrokenConnection(t *testing.T) {
	c, f := begin(t, breaking(1000))
	for i := range 100 {
		f.add(service.LogEvent, fmt.Sprintf(`{"stream":1,"text":"%d\n"}`, i))
	}
	f.add(service.StatusEvent, `{"status":"failed"}`)
	var seen []int64
	err := c.Follow(t.Context(), 42, 3, func(e service.Event) error {
		seen = append(seen, e.Seq)
		return nil
	})
	if err != nil || len(seen) != 98 || seen[0] != 4 || !slices.IsSorted(seen) || seen[97] != 101 {
		t.Errorf("%v %v", seen, err)
	}
	if err := c.Follow(t.Context(), 42, 101, nil); err != nil {
		t.Error(err)
	}
	stop := errors.New("enough")
	if err := c.Follow(t.Context(), 42, 0, func(service.Event) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
}

func TestFollowingGivesUp(t *testing.T) {
	var asked atomic.Int64
	c, f := begin(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if asked.Add(1) > 1 {
				panic(http.ErrAbortHandler)
			}
			next.ServeHTTP(w, r)
		})
	})
	f.add(service.NoticeEvent, `{"text":"hello"}`)
	c.silence, c.patience = time.Second, 1500*time.Millisecond
	n := 0
	err := c.Follow(t.Context(), 42, 0, func(service.Event) error { n++; return nil })
	if err == nil || n != 1 || asked.Load() < 3 {
		t.Errorf("%v after %d events and %d requests", err, n, asked.Load())
	}
	if !strings.Contains(err.Error(), "following build 42") {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := c.Follow(ctx, 42, 0, func(service.Event) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestPackTakesAllThatARecipeNames(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"app.toml": "schema = 1\nname = \"app\"\nversion = \"1\"\n[image]\nbase = \"recipe:low\"\ncmd = [\"/run\"]\n" +
			"[[image.file]]\npath = \"/run\"\nfrom = \"files/run\"\nmode = 0o755\n",
		"low.toml":         "schema = 1\nname = \"low\"\nversion = \"1\"\n[image]\nbase = \"scratch\"\n[[image.file]]\npath = \"/x\"\nfrom = \"x\"\n",
		"files/run":        "#!/bin/sh\n",
		"x":                "x",
		"riscv-build.lock": "version = 1\n",
		"unrelated":        "secret",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r, err := recipes.Load(filepath.Join(dir, "app.toml"))
	if err != nil {
		t.Fatal(err)
	}
	u, err := Pack(r)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range u.Files {
		names = append(names, f.Path)
	}
	slices.Sort(names)
	if got := strings.Join(names, " "); got != "app.toml files/run low.toml riscv-build.lock x" || u.Recipes[0] != "app.toml" {
		t.Errorf("%s of %v", got, u.Recipes)
	}
	if err := os.WriteFile(filepath.Join(dir, "x"), make([]byte, maxPacked), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Pack(r); err == nil || !strings.Contains(err.Error(), "MiB") {
		t.Error(err)
	}
}
