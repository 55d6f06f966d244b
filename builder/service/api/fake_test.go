package api

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/builder/service/access"
)

var update = flag.Bool("update", false, "write the OpenAPI document anew")

// fake is a service with one build, 42.
type fake struct {
	mu        sync.Mutex
	events    []service.Event
	ended     bool
	more      chan struct{}
	err       error
	submitted []service.Submission
	pushed    []service.Push
	filter    service.Filter
	schedule  service.Schedule
	by        string
}

func newFake() *fake { return &fake{more: make(chan struct{})} }

// add adds events of the log with texts; final ends the build.
func (f *fake) add(final bool, texts ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, text := range texts {
		data, _ := json.Marshal(service.LogData{Stream: 1, Text: text})
		f.events = append(f.events, service.Event{Build: 42, Seq: int64(len(f.events) + 1), Kind: service.LogEvent, Data: data})
	}
	if final {
		f.ended = true
		f.events = append(f.events, service.Event{Build: 42, Seq: int64(len(f.events) + 1), Kind: service.StatusEvent, Data: json.RawMessage(`{"status":"succeeded"}`)})
	}
	close(f.more)
	f.more = make(chan struct{})
}

func (f *fake) build(id int64) (service.Build, error) {
	if f.err != nil {
		return service.Build{}, f.err
	}
	if id != 42 {
		return service.Build{}, &service.NotFoundError{What: fmt.Sprintf("build %d", id)}
	}
	return service.Build{ID: 42, Recipe: "busybox", Status: service.Running}, nil
}

func (f *fake) Submit(_ context.Context, s service.Submission) ([]service.Build, error) {
	f.submitted = append(f.submitted, s)
	return []service.Build{{ID: 42, Client: s.Client, Cause: s.Cause}}, f.err
}
func (f *fake) Build(_ context.Context, id int64) (service.Build, error) { return f.build(id) }
func (f *fake) Builds(_ context.Context, filter service.Filter) ([]service.Build, error) {
	f.filter = filter
	var all []service.Build
	for id := int64(100); len(all) < filter.Limit && len(all) < 3; id-- {
		all = append(all, service.Build{ID: id})
	}
	return all, f.err
}
func (f *fake) Cancel(_ context.Context, id int64, client string) (service.Build, error) {
	f.by = client
	return f.build(id)
}
func (f *fake) Retry(_ context.Context, id int64, client string) (service.Build, error) {
	f.by = client
	return f.build(id)
}
func (f *fake) Events(_ context.Context, id, after int64, limit int) ([]service.Event, <-chan struct{}, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.build(id); err != nil {
		return nil, nil, err
	}
	if after < int64(len(f.events)) {
		return f.events[after:min(int64(len(f.events)), after+int64(limit))], nil, nil
	}
	if f.ended {
		return nil, nil, nil
	}
	return nil, f.more, nil
}
func (f *fake) Artefact(_ context.Context, id int64, name string) (io.ReadCloser, error) {
	if _, err := f.build(id); err != nil {
		return nil, err
	}
	return io.NopCloser(strings.NewReader("the " + name)), nil
}
func (f *fake) Recipes(context.Context) ([]service.RecipeInfo, error) {
	return []service.RecipeInfo{{Name: "busybox", From: service.FromCatalog, Version: "1"}, {Name: "busybox", From: service.FromRecipes, Version: "2"}}, f.err
}
func (f *fake) Schedules(context.Context) ([]service.Schedule, error) {
	return []service.Schedule{{Name: "nightly"}}, f.err
}
func (f *fake) PutSchedule(_ context.Context, s service.Schedule) (service.Schedule, error) {
	f.schedule = s
	return s, f.err
}
func (f *fake) DeleteSchedule(_ context.Context, name string) error {
	if f.err == nil && name != "nightly" {
		return &service.NotFoundError{What: "schedule " + name}
	}
	return f.err
}
func (f *fake) Outdated(context.Context) (service.OutdatedReport, error) {
	return service.OutdatedReport{}, f.err
}
func (f *fake) CheckOutdated(_ context.Context, client string) error { f.by = client; return f.err }
func (f *fake) Pushed(_ context.Context, p service.Push) ([]service.Build, error) {
	f.pushed = append(f.pushed, p)
	return []service.Build{{ID: 43}}, f.err
}
func (f *fake) State(context.Context) (service.State, error) {
	return service.State{Version: "1", Builds: map[service.Status]int{service.Queued: 3}, FreeBytes: 5}, f.err
}
func (f *fake) Images(context.Context) ([]service.Image, error) { return nil, f.err }

// as gives requests the identity that their X-Role names.
func as(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if role := r.Header.Get("X-Role"); role != "" {
			r = r.WithContext(access.With(r.Context(), access.Identity{Name: "tester", Role: access.Role(role)}))
		}
		next.ServeHTTP(w, r)
	})
}

type testServer struct {
	*httptest.Server
	t    *testing.T
	api  *api
	fake *fake
	log  *bytes.Buffer
}

func serve(t *testing.T, change func(*api)) *testServer {
	t.Helper()
	s := &testServer{t: t, fake: newFake(), log: &bytes.Buffer{}}
	s.api = newAPI(Options{Service: s.fake, Registry: s.fake, Hooks: testHooks, Version: "test", Log: slog.New(slog.NewTextHandler(s.log, nil))})
	if change != nil {
		change(s.api)
	}
	s.Server = httptest.NewServer(as(s.api.handler()))
	t.Cleanup(s.Close)
	return s
}

// ask sends a request: "METHOD PATH", a role, a body, headers in pairs.
func (s *testServer) ask(what, role, body string, headers ...string) (*http.Response, string) {
	s.t.Helper()
	method, path, _ := strings.Cut(what, " ")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, s.URL+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("X-Role", role)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := s.Client().Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp, string(data)
}

// want asks and checks the status; problems must be problem documents.
func (s *testServer) want(status int, what, role, body string, headers ...string) string {
	s.t.Helper()
	resp, text := s.ask(what, role, body, headers...)
	if resp.StatusCode != status {
		s.t.Errorf("%s as %q with %.100q: %d, want %d: %s", what, role, body, resp.StatusCode, status, text)
	}
	if resp.StatusCode >= 400 && !strings.HasPrefix(what, "HEAD") {
		var p struct{ Title, Detail string }
		if err := json.Unmarshal([]byte(text), &p); err != nil || p.Detail == "" || resp.Header.Get("Content-Type") != "application/problem+json" {
			s.t.Errorf("%s as %q: not a problem document: %s %q", what, role, resp.Header.Get("Content-Type"), text)
		}
	}
	return text
}
