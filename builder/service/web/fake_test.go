package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/builder/outdated"
	"github.com/riscv-build/riscv-build/builder/service"
)

// attack is in every text of the samples that comes from builds or their people.
const attack = `<script>alert("x")</script><img src=x onerror=alert(1)>`

// clock is the time on the pages of tests.
var clock = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)

// fake is a service with samples: 1 failed, 2 runs, 3 succeeded, 4 is the same as
// 2, the rest succeeded.
type fake struct {
	builds    map[int64]service.Build
	newest    int64
	events    map[int64][]service.Event
	graphs    map[int64]string
	schedules []service.Schedule
	recipes   []service.RecipeInfo
	report    service.OutdatedReport
	state     service.State

	submitted []service.Submission
	put       []service.Schedule
	calls     []string
	err       error // of everything that changes something
}

func at(minutes float64) *time.Time {
	t := clock.Add(time.Duration(minutes * float64(time.Minute)))
	return &t
}

func id(text string) digest.Digest { return digest.FromString(text) }

// newFake makes the samples and n more builds.
func newFake(n int) *fake {
	f := &fake{builds: map[int64]service.Build{}, events: map[int64][]service.Event{}, graphs: map[int64]string{}}
	f.sampleBuilds()
	for i := int64(5); i <= int64(4+n); i++ {
		f.builds[i] = service.Build{
			ID: i, Recipe: []string{"nginx", "redis", "busybox"}[i%3], Version: "1.2." + fmt.Sprint(i), Status: service.Succeeded,
			Client: "ci", Cause: service.ByAPI, Origin: service.Origin{Kind: service.FromCatalog},
			Created: *at(-float64(n) - 100 + float64(i)), Started: at(-float64(n) - 99 + float64(i)), Ended: at(-float64(n) - 98.5 + float64(i)),
		}
	}
	f.newest = int64(4 + n)
	f.state = service.State{
		Version: "v1.0.0", Started: *at(-5000), Builds: map[service.Status]int{service.Running: 1, service.Queued: 1, service.Succeeded: 1 + n, service.Failed: 1},
		FreeBytes: 41_300_000_000, FloorBytes: 2_000_000_000, Push: []string{"192.168.1.5:6000"}, Waiting: "riscv-build batch (process 4711) " + attack,
	}
	f.recipes = []service.RecipeInfo{
		{Name: "busybox", Version: "1.37.0", Summary: "Many Unix tools in one small program", License: "GPL-2.0-only", From: "catalog"},
		{Name: "nginx", Version: "1.26.3", Summary: "HTTP server and reverse proxy", License: "BSD-2-Clause", From: "catalog", Last: ptr(f.builds[3])},
		{Name: "redis", Version: "8.0.2", Summary: "In-memory data store", License: "BSD-3-Clause", From: "recipes", Last: ptr(f.builds[1])},
		{Name: "broken", Version: "1", Summary: "A recipe " + attack, License: "MIT", From: "recipes", Problem: "broken.toml:3: unknown key \"nam\" " + attack},
	}
	f.schedules = []service.Schedule{
		{Name: "nightly", Cron: "0 3 * * *", Recipes: []string{"*"}, When: service.WhenOutdated, Next: at(711), Last: at(-729), Told: "3 builds " + attack},
		{Name: "web", Cron: "@weekly", Recipes: []string{"nginx", "redis"}, When: service.Always, Paused: true, Options: service.Options{Tags: []string{"edge"}}},
	}
	f.report = service.OutdatedReport{Checked: at(-90), Report: &outdated.Report{
		Packages: []outdated.Package{
			{Name: "libssl3t64", Arches: []string{"riscv64"}, Locked: "3.5.1-1", Available: "3.5.1-1+deb13u1", Suite: "trixie-security", Security: true, Uses: []string{"image", "sysroot"}, Recipes: []string{"nginx", "redis"}},
			{Name: "gcc-14", Arches: []string{"amd64", "riscv64"}, Locked: "14.2.0-19", Available: "14.2.0-20", Suite: "trixie", Uses: []string{"toolchain"}, Recipes: []string{"busybox"}},
		},
		Sources: []outdated.Source{{
			Subject: outdated.Subject{Recipe: "redis", File: "redis.toml", Source: "redis"}, Kind: "url", Locked: "8.0.2", Available: "8.0.3",
			From: "https://download.redis.io", Change: "url = \"…-8.0.3.tar.gz\"\n" + attack,
		}},
		Recipes: []string{"busybox", "nginx", "redis"}, Unlocked: []string{"broken"},
		Unchecked: []outdated.Subject{{Recipe: "busybox", Source: "busybox"}},
		Errors:    []outdated.Problem{{Recipe: "broken", Error: "asking: " + attack}}, Asked: 4,
	}}
	return f
}

func ptr[T any](v T) *T { return &v }

func (f *fake) sampleBuilds() {
	catalog := service.Origin{Kind: service.FromCatalog, Path: "nginx"}
	f.builds[1] = service.Build{
		ID: 1, Recipe: "redis", Version: "8.0.2", Status: service.Failed, Stage: "engine", Client: "webhook gitea", Cause: service.ByWebhook, Attempt: 2,
		Origin:  service.Origin{Kind: service.FromGit, URL: "https://git.example/recipes.git", Commit: strings.Repeat("ab", 20), Path: "redis.toml"},
		Created: *at(-200), Started: at(-199), Ended: at(-181), Exit: 1, Error: "compiling: exit status 2\n" + attack,
		Result: &builder.Result{Name: "redis", Mode: "native", Engine: "embedded", Worker: "containerd", Stages: map[string]float64{"lock": 1.2, "fetch": 12, "graph": .3, "engine": 1040}},
	}
	f.builds[2] = service.Build{
		ID: 2, Recipe: "nginx", Version: "1.26.3", Status: service.Running, Stage: "engine", Client: "alice " + attack, Cause: service.ByAPI, Attempt: 1,
		Origin: catalog, Created: *at(-6), Started: at(-5),
	}
	f.builds[3] = service.Build{
		ID: 3, Recipe: "nginx", Version: "1.26.3", Status: service.Succeeded, Client: "schedule nightly", Cause: service.BySchedule, Attempt: 1,
		Origin: catalog, Created: *at(-700), Started: at(-699), Ended: at(-690),
		Result: &builder.Result{
			Name: "nginx", Version: "1.26.3", Mode: "cross", Engine: "embedded", Worker: "runc", Digest: id("manifest"),
			Tags: []string{"192.168.1.5:6000/riscv64/nginx:1.26.3", "http://192.168.1.5:6000/riscv64/nginx:latest"}, DownloadedBytes: 88_123_456, UploadedBytes: 3_400_000,
			Layers: []builder.LayerResult{{Digest: id("base"), Size: 28_400_000}, {Digest: id("nginx"), Size: 1_234_567}},
			Stages: map[string]float64{"lock": .8, "fetch": 30, "graph": .2, "engine": 480, "check": 22.4, "push": 3.1},
			Tests: []builder.TestResult{{Name: "configuration parses", OK: true, Seconds: .41}, {Name: "serves a page", OK: true, Cached: true, Seconds: 1.2},
				{Name: "fails " + attack, Seconds: 2, Detail: "expected " + attack}},
			Notes: []string{"the lock was replaced " + attack},
		},
	}
	f.builds[4] = service.Build{ID: 4, Recipe: "nginx", Version: "1.26.3", Status: service.Running, Started: at(-1), Client: "local", Cause: service.ByAPI, Origin: catalog, Created: *at(-1), SameAs: 2}
	for _, n := range []int64{1, 2, 3} {
		f.sampleEvents(n)
	}
}

// sampleEvents are those of a build of source, with 40 parts that are loaded.
func (f *fake) sampleEvents(build int64) {
	b := f.builds[build]
	add := func(minutes float64, kind string, data any) {
		raw, _ := json.Marshal(data)
		f.events[build] = append(f.events[build], service.Event{
			Build: build, Seq: int64(len(f.events[build]) + 1), Time: b.Started.Add(time.Duration(minutes * float64(time.Minute))), Kind: kind, Data: raw,
		})
	}
	add(0, service.StatusEvent, service.StatusData{Status: service.Queued})
	add(0, service.StatusEvent, service.StatusData{Status: service.Running, Attempt: 1})
	add(0, service.StageEvent, service.StageData{Stage: "lock"})
	add(.1, service.StageEvent, service.StageData{Stage: "fetch"})
	add(.1, service.NoticeEvent, service.NoticeData{Text: "fetching 40 packages " + attack})
	add(.5, service.StageEvent, service.StageData{Stage: "engine"})
	names := []string{"load toolchain", "load sources", "load sysroot"}
	for i := range 40 {
		names = append(names, fmt.Sprintf("load part %d", i))
	}
	var graph []map[string]any
	var loaded []digest.Digest
	for _, name := range names {
		add(.5, service.VertexEvent, service.VertexData{Digest: id(name), Name: name, Started: b.Started, Completed: b.Started, Cached: name == "load toolchain"})
		graph = append(graph, map[string]any{"digest": id(name), "name": name, "kind": "source"})
		loaded = append(loaded, id(name))
	}
	last := loaded[1]
	for i, name := range []string{"unpack", "configure", "compile " + attack, "install"} {
		inputs := []digest.Digest{id("load toolchain"), last}
		if i == 2 {
			inputs = append(inputs, loaded[2:]...)
		}
		graph = append(graph, map[string]any{"digest": id(name), "name": name, "kind": "exec", "inputs": inputs})
		last = id(name)
		if i == 3 && build != 3 {
			continue
		}
		v := service.VertexData{Digest: last, Name: name, Inputs: inputs, Started: b.Started}
		if i < 2 || build == 3 {
			v.Completed = ptr(b.Started.Add(time.Duration(i*20) * time.Second))
		} else if build == 1 {
			v.Completed, v.Error = b.Ended, "exit code: 2 "+attack
		}
		for line := range 300 * (i + 1) {
			add(1, service.LogEvent, service.LogData{Vertex: last, Stream: 1, Text: fmt.Sprintf("\x1b[32mCC\x1b[0m file%d.c %s\n", line, attack)})
		}
		add(1, service.VertexEvent, v)
	}
	add(2, service.LogEvent, service.LogData{Stream: 2, Text: "of no step\n"})
	graph = append(graph, map[string]any{"digest": id("result"), "kind": "result", "name": "result", "inputs": []digest.Digest{last}})
	raw, _ := json.Marshal(graph)
	f.graphs[build] = string(raw)
	if b.Status.Final() {
		add(9, service.StatusEvent, service.StatusData{Status: b.Status, Error: b.Error})
	}
}

func (f *fake) Submit(_ context.Context, s service.Submission) ([]service.Build, error) {
	f.submitted = append(f.submitted, s)
	if f.err != nil {
		return nil, f.err
	}
	var made []service.Build
	for range s.Recipes {
		f.newest++
		made = append(made, service.Build{ID: f.newest})
	}
	return made, nil
}

func (f *fake) Build(_ context.Context, id int64) (service.Build, error) {
	b, ok := f.builds[id]
	if !ok {
		return b, &service.NotFoundError{What: fmt.Sprintf("build %d", id)}
	}
	return b, nil
}

func (f *fake) Builds(_ context.Context, filter service.Filter) ([]service.Build, error) {
	var found []service.Build
	for i := f.newest; i > 0 && len(found) < filter.Limit; i-- {
		b, ok := f.builds[i]
		if !ok || filter.Before > 0 && i >= filter.Before || filter.Recipe != "" && b.Recipe != filter.Recipe ||
			filter.Status != nil && !slices.Contains(filter.Status, b.Status) {
			continue
		}
		found = append(found, b)
	}
	return found, nil
}

func (f *fake) call(format string, args ...any) error {
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
	return f.err
}

func (f *fake) Cancel(_ context.Context, id int64, client string) (service.Build, error) {
	return f.builds[id], f.call("cancel %d by %s", id, client)
}

func (f *fake) Retry(_ context.Context, id int64, client string) (service.Build, error) {
	return service.Build{ID: id + 1000}, f.call("retry %d by %s", id, client)
}

func (f *fake) Events(_ context.Context, build, after int64, limit int) ([]service.Event, <-chan struct{}, error) {
	all := f.events[build]
	return all[min(after, int64(len(all))):min(after+int64(limit), int64(len(all)))], nil, nil
}

func (f *fake) Artefact(_ context.Context, build int64, name string) (io.ReadCloser, error) {
	if name != service.GraphArtefact || f.graphs[build] == "" {
		return nil, &service.NotFoundError{What: name}
	}
	return io.NopCloser(strings.NewReader(f.graphs[build])), nil
}

func (f *fake) Recipes(context.Context) ([]service.RecipeInfo, error)    { return f.recipes, nil }
func (f *fake) Schedules(context.Context) ([]service.Schedule, error)    { return f.schedules, nil }
func (f *fake) Outdated(context.Context) (service.OutdatedReport, error) { return f.report, nil }
func (f *fake) State(context.Context) (service.State, error)             { return f.state, nil }

func (f *fake) PutSchedule(_ context.Context, s service.Schedule) (service.Schedule, error) {
	f.put = append(f.put, s)
	return s, f.err
}

func (f *fake) DeleteSchedule(_ context.Context, name string) error {
	return f.call("delete %s", name)
}

func (f *fake) CheckOutdated(_ context.Context, client string) error {
	return f.call("check by %s", client)
}

func (f *fake) Pushed(context.Context, service.Push) ([]service.Build, error) {
	return nil, errors.New("no page asks for this")
}

// fakeRegistry is a registry with two repositories; without builds it is empty.
type fakeRegistry struct{ *fake }

func (r fakeRegistry) Images(context.Context) ([]service.Image, error) {
	if r.newest == 0 {
		return nil, nil
	}
	return []service.Image{
		{Repository: "riscv64/nginx", Tag: "1.26.3", Reference: "192.168.1.5:6000/riscv64/nginx:1.26.3", Digest: id("manifest"), Platforms: []string{"linux/riscv64"}, ISA: "rv64gc", Created: at(-700), Bytes: 29_634_567, Shared: 28_400_000},
		{Repository: "riscv64/nginx", Tag: "latest", Reference: "192.168.1.5:6000/riscv64/nginx:latest", Digest: id("index"), Platforms: []string{"linux/amd64", "linux/arm64", "linux/riscv64"}, ISA: "rv64gc", Created: at(-700), Bytes: 91_000_000},
		{Repository: "team/tool", Tag: attack, Reference: "192.168.1.5:6000/team/tool:1", Digest: id("tool"), Platforms: []string{"linux/arm64"}, Bytes: 900, Problem: "its programs are for arm64 " + attack},
	}, nil
}
