package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/builder/service/access"
	"github.com/riscv-build/riscv-build/builder/service/api"
	"github.com/riscv-build/riscv-build/builder/service/client"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// fakeStep is the digest of a command that each build runs.
const fakeStep = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// fakeService has one build, which ends as end says.
type fakeService struct {
	service.Service
	end       service.Build
	submitted []service.Submission
	cancelled []int64
	begun     func() // when it runs, from when on it never ends; nil: it ends
}

func (f *fakeService) Submit(_ context.Context, s service.Submission) ([]service.Build, error) {
	f.submitted = append(f.submitted, s)
	b := f.end
	b.Status, b.Result, b.Error = service.Queued, nil, ""
	return []service.Build{b}, nil
}

func (f *fakeService) Build(context.Context, int64) (service.Build, error) { return f.end, nil }

func (f *fakeService) Builds(context.Context, service.Filter) ([]service.Build, error) {
	return []service.Build{f.end}, nil
}

func (f *fakeService) State(context.Context) (service.State, error) { return service.State{}, nil }

func (f *fakeService) Cancel(_ context.Context, id int64, _ string) (service.Build, error) {
	f.cancelled = append(f.cancelled, id)
	return f.end, nil
}

func (f *fakeService) Events(_ context.Context, build, after int64, _ int) ([]service.Event, <-chan struct{}, error) {
	all := []service.Event{
		{Kind: service.StatusEvent, Data: encoded(service.StatusData{Status: service.Running, Attempt: 1})},
		{Kind: service.NoticeEvent, Data: encoded(service.NoticeData{Text: "a notice of the build"})},
		{Kind: service.VertexEvent, Data: encoded(service.VertexData{Digest: fakeStep, Name: "a step", Started: f.end.Started, Completed: f.end.Ended})},
		{Kind: service.LogEvent, Data: encoded(service.LogData{Vertex: fakeStep, Stream: 1, Text: "printed by the step\n"})},
		{Kind: service.StatusEvent, Data: encoded(service.StatusData{Status: f.end.Status})},
	}
	for i := range all {
		all[i].Build, all[i].Seq, all[i].Time = build, int64(i+1), time.Now()
	}
	if f.begun != nil {
		f.begun()
		return all[min(int(after), len(all)-1) : len(all)-1], make(chan struct{}), nil
	}
	return all[min(int(after), len(all)):], nil, nil
}

func (f *fakeService) Artefact(_ context.Context, _ int64, name string) (io.ReadCloser, error) {
	if name == service.GraphArtefact {
		return io.NopCloser(strings.NewReader(`[{"digest": "` + fakeStep + `", "kind": "exec"}]`)), nil
	}
	return io.NopCloser(strings.NewReader("the " + name + "\n")), nil
}

func encoded(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return raw
}

// startHere serves it as the service of a state directory.
func startHere(t *testing.T, f *fakeService) (stateDir string) {
	t.Helper()
	stateDir, err := os.MkdirTemp("", "s") // a short path
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(stateDir, serviceDir)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := listenLocal(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	handler := access.New(access.GuardOptions{}).Identify(api.New(api.Options{Service: f}))
	go func() { ended <- serveHTTP(ctx, access.Server(handler), l) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-ended, os.RemoveAll(stateDir)); err != nil {
			t.Error(err)
		}
	})
	return stateDir
}

func TestBuildByTheServiceOfThisMachine(t *testing.T) {
	f := ended(service.Succeeded, 0, "")
	dir := startHere(t, f)
	for args, push := range map[string][]string{"": nil, "--push h:1": {"h:1"}} {
		f.submitted = nil
		code, stdout, stderr := do(t, append([]string{"nginx", "--state-dir", dir}, strings.Fields(args)...)...)
		if code != 0 || !strings.Contains(stdout, "hello:1 sha256:abc") || !strings.Contains(stderr, "the service of this machine") {
			t.Fatalf("exit %d\n%s\n%s", code, stdout, stderr)
		}
		if o := f.submitted[0].Options; o.NoPush != (push == nil) || !slices.Equal(o.Push, push) {
			t.Errorf("%q: got %+v", args, o)
		}
	}
	if code, _, stderr := do(t, "nginx", "--state-dir", dir, "--changed"); code != exitUsage || !strings.Contains(stderr, "--push") {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

// startFakeService serves it to one who may build.
func startFakeService(t *testing.T, f *fakeService) string {
	t.Helper()
	calls := api.New(api.Options{Service: f})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := access.Identity{}
		if r.Header.Get("Authorization") == "Bearer right" {
			id = access.Identity{Name: "anna", Role: access.Build}
		}
		calls.ServeHTTP(w, r.WithContext(access.With(r.Context(), id)))
	}))
	t.Cleanup(s.Close)
	t.Setenv(envServer, s.URL)
	t.Setenv(envToken, "right")
	return s.URL
}

func ended(status service.Status, exit int, text string) *fakeService {
	now := time.Now()
	return &fakeService{end: service.Build{
		ID: 7, Recipe: "hello", Version: "1", Status: status, Exit: exit, Error: text, Client: "anna", Created: now, Started: &now, Ended: &now,
		Result: &builder.Result{Name: "hello", Version: "1", Digest: "sha256:abc", Mode: "cross", Error: text, Tags: []string{"h:1/riscv64/hello:1"}},
	}}
}

// helloRecipe writes a recipe into a directory of its own.
func helloRecipe(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hello.toml")
	text := "schema = 1\nname = \"hello\"\nversion = \"1\"\nlicense = \"MIT\"\n[image]\nbase = \"scratch\"\npackages = [\"tzdata\"]\n[push]\nrepository = \"riscv64/hello\"\ntags = [\"1\"]\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBuildByAService(t *testing.T) {
	f := ended(service.Succeeded, 0, "")
	startFakeService(t, f)
	recipe := helloRecipe(t)
	code, stdout, stderr := do(t, recipe, "--push", "h:1", "--changed", "--progress", "plain")
	if code != 0 || !strings.Contains(stdout, "hello:1 sha256:abc") || !strings.Contains(stdout, "pushed h:1/riscv64/hello:1") || !strings.Contains(stderr, "a notice of the build") {
		t.Fatalf("exit %d\n%s\n%s", code, stdout, stderr)
	}
	s := f.submitted[0]
	if s.Client != "anna" || s.Upload == nil || s.Upload.Recipes[0] != "hello.toml" || !s.Options.Changed || !slices.Equal(s.Options.Push, []string{"h:1"}) {
		t.Errorf("got %+v", s)
	}
	if text, err := os.ReadFile(filepath.Join(filepath.Dir(recipe), lock.Name)); err != nil || string(text) != "the lock\n" {
		t.Errorf("the lock: %q, %v", text, err)
	}
	if code, stdout, stderr = do(t, "nginx", "--json"); code != 0 || !strings.Contains(stdout, `"digest": "sha256:abc"`) {
		t.Errorf("exit %d\n%s\n%s", code, stdout, stderr)
	}
	if got := f.submitted[1].Recipes; !slices.Equal(got, []string{"nginx"}) {
		t.Errorf("got %v", got)
	}
}

func TestBuildByAServiceFails(t *testing.T) {
	f := ended(service.Failed, exitEnvironment, "building: the disk is full")
	url := startFakeService(t, f)
	code, stdout, stderr := do(t, "nginx", "--json")
	if code != exitEnvironment || !strings.Contains(stderr, "the disk is full") || !strings.Contains(stdout, `"error": "building: the disk is full"`) {
		t.Errorf("exit %d\n%s\n%s", code, stdout, stderr)
	}
	f.end.Status, f.end.Exit, f.end.Error = service.Cancelled, 0, ""
	if code, _, stderr := do(t, "nginx"); code != exitFailed || !strings.Contains(stderr, "cancelled") {
		t.Errorf("exit %d, %s", code, stderr)
	}
	t.Setenv(envToken, "wrong")
	if code, _, stderr := do(t, "nginx"); code != exitNetwork || !strings.Contains(stderr, "--server-token") {
		t.Errorf("exit %d, %s", code, stderr)
	}
	t.Setenv(envServer, "http://127.0.0.1:1")
	if code, _, stderr := do(t, "ls"); code != exitNetwork || !strings.Contains(stderr, "127.0.0.1:1") {
		t.Errorf("exit %d, %s", code, stderr)
	}
	if !strings.HasPrefix(url, "http://") {
		t.Error(url)
	}
}

func TestVerbsOfBuilds(t *testing.T) {
	f := ended(service.Succeeded, 0, "")
	url := startFakeService(t, f)
	t.Setenv(envServer, "")
	for args, want := range map[string]string{
		"--server URL ls":             "hello:1",
		"builds ls --server URL":      "BUILD",
		"--server URL show 7":         "pushed h:1",
		"logs 7 --server URL":         "the log",
		"--server URL cancel 7 8":     "anna",
		"nginx --detach --server URL": "7\n",
	} {
		code, stdout, stderr := do(t, strings.Fields(strings.ReplaceAll(args, "URL", url))...)
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("%s: exit %d\n%s\n%s", args, code, stdout, stderr)
		}
	}
	if fmt.Sprint(f.cancelled) != "[7 8]" {
		t.Errorf("cancelled %v", f.cancelled)
	}
}

func TestALockThatChangedIsLeft(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, lock.Name)
	if err := os.WriteFile(path, []byte("newer"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := ended(service.Succeeded, 0, "")
	s := submitted{root: dir, locked: []byte("older")}
	from, err := client.New(client.Options{URL: startFakeService(t, f), Token: "right"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.keepLock(t.Context(), from, f.end); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(path); string(text) != "newer" {
		t.Errorf("got %q", text)
	}
}
