package check

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/builder/engine"
	"github.com/riscv-build/riscv-build/recipes"
)

func ptr[T any](v T) *T { return &v }

// tested runs tests on a small image with an engine.
func tested(t *testing.T, e *fakeEngine, tests ...recipes.Test) ([]TestResult, error) {
	t.Helper()
	return RunTests(context.Background(), testRun(t, e, tests...))
}

func testRun(t *testing.T, e *fakeEngine, tests ...recipes.Test) TestRun {
	t.Helper()
	store := newStore(t)
	image := newImage("/start").layer(t, append(base(),
		file("etc/app.conf", 0o640, "port = 80\n"), symlink("var/log", "/dev/stdout"), symlink("etc/link", "app.conf"))...)
	image.config.Config.Cmd = []string{"serve"}
	image.config.Config.Env = []string{"A=image", "B=image"}
	image.config.Config.User = "app"
	return TestRun{
		Recipe: "app", Tests: tests, Image: image.store(t, store), Config: image.config, Store: content.Store(store),
		Engine: func(context.Context) (engine.Engine, error) { return e, nil },
		Probe:  &ocispec.Descriptor{Digest: "sha256:probe"},
	}
}

func TestRunKind(t *testing.T) {
	e := &fakeEngine{result: engine.RunResult{Exit: 3, Stdout: []byte("one\ntwo\n"), Stderr: []byte("syntax is ok\n")}}
	results, err := tested(t, e, recipes.Test{
		Name: "parses", Run: []string{"app", "-t"}, Exit: 3, Env: map[string]string{"B": "test", "C": "test"}, Stdin: "in",
		Stdout: &recipes.Match{Equals: ptr("one\ntwo\n")}, Stderr: &recipes.Match{Contains: ptr("is ok"), Matches: ptr(`(?m)ok$`)},
	})
	must(t, err)
	if len(results) != 1 || !results[0].OK || results[0].Cached || results[0].Name != "parses" {
		t.Errorf("got %+v", results)
	}
	run := e.runs[0]
	run.Store, run.Image = nil, ocispec.Descriptor{}
	want := engine.Run{
		Name: "app: parses", Args: []string{"/start", "app", "-t"}, Env: []string{"A=image", "PATH=" + defaultPath, "B=test", "C=test"},
		User: "app", Cwd: "/", Stdin: []byte("in"), Timeout: time.Minute,
	}
	if !reflect.DeepEqual(run, want) {
		t.Errorf("got %+v", run)
	}
}

func TestCommandLine(t *testing.T) {
	e := &fakeEngine{}
	_, err := tested(t, e, recipes.Test{Name: "a"}, recipes.Test{Name: "b", Entrypoint: &[]string{"/sh", "-c"}, Run: []string{"x"}},
		recipes.Test{Name: "c", Entrypoint: &[]string{}, Run: []string{"x"}}, recipes.Test{Name: "d", Entrypoint: &[]string{"/sh"}})
	must(t, err)
	var got []string
	for _, run := range e.runs {
		got = append(got, strings.Join(run.Args, " "))
	}
	if want := []string{"/start serve", "/sh -c x", "x", "/sh"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
	_, err = tested(t, e, recipes.Test{Name: "none", Entrypoint: &[]string{}})
	if err == nil || !strings.Contains(err.Error(), "neither entrypoint nor cmd") {
		t.Errorf("got %v", err)
	}
}

func TestFailuresAreShown(t *testing.T) {
	var log strings.Builder
	for i := range 12 {
		fmt.Fprintf(&log, "line %d\n", i)
	}
	e := &fakeEngine{result: engine.RunResult{Exit: 1, Stdout: []byte(log.String()), Stderr: []byte("emerg: no such file\n")}}
	results, err := tested(t, e,
		recipes.Test{Name: "parses", Run: []string{"-t"}, Stderr: &recipes.Match{Contains: ptr("ok")}},
		recipes.Test{Name: "fails", Exit: 1, Run: []string{"-x"}},
		recipes.Test{Name: "file", File: &recipes.FileProbe{Path: "/etc/none"}})
	want := `testing the image of recipe "app": 2 of 3 tests failed
  test "parses": expected exit status 0, got 1; expected stderr to contain "ok", got "emerg: no such file\n"
    stdout, last 10 lines:
      | line 2
      | line 3
      | line 4
      | line 5
      | line 6
      | line 7
      | line 8
      | line 9
      | line 10
      | line 11
    stderr:
      | emerg: no such file
  test "file": expected the file "/etc/none", the image has none
  correct the recipe or the test, and build again`
	var failed *TestError
	if !errors.As(err, &failed) || err.Error() != want || failed.ExitCode() != 1 {
		t.Errorf("got %v", err)
	}
	if len(results) != 3 || results[0].OK || !results[1].OK || results[2].OK {
		t.Errorf("got %+v", results)
	}
}

func TestHTTPProbe(t *testing.T) {
	var got http.Request
	starting := 2
	e := &fakeEngine{serve: web(func(w http.ResponseWriter, r *http.Request) {
		got = *r
		if starting--; starting >= 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "Welcome")
	})}
	_, err := tested(t, e, recipes.Test{Name: "page", HTTP: &recipes.HTTPProbe{
		Port: 8080, Path: "/a?b", Headers: map[string]string{"host": "x.example"}, Body: &recipes.Match{Contains: ptr("Welcome")},
	}})
	must(t, err)
	if got.Method != "GET" || got.URL.String() != "/a?b" || got.Host != "x.example" || !got.Close || e.probes != 3 {
		t.Errorf("%d probes, got %s %s %s, close %v", e.probes, got.Method, got.URL, got.Host, got.Close)
	}
	p := e.runs[0].Probe
	if p.MountPath != "/.riscv-build-probe" || !reflect.DeepEqual(p.Args[len(p.Args)-4:], []string{"/.riscv-build-probe/usr/bin/busybox", "nc", "127.0.0.1", "8080"}) ||
		p.Mount.Digest != "sha256:probe" || !reflect.DeepEqual(e.runs[0].Args, []string{"/start", "serve"}) {
		t.Errorf("got %+v", p)
	}
}

func TestProbeFailures(t *testing.T) {
	page := recipes.Test{Name: "t", HTTP: &recipes.HTTPProbe{Port: 80, Body: &recipes.Match{Contains: ptr("Welcome")}}}
	quick := page
	quick.Timeout.Duration = 300 * time.Millisecond
	ping := recipes.Test{Name: "t", TCP: &recipes.TCPProbe{Port: 6379, Send: "PING\r\n", Expect: &recipes.Match{Equals: ptr("+PONG\r\n")}}}
	answer := func(text string) func(io.ReadWriter) {
		return func(conn io.ReadWriter) { _, _ = io.WriteString(conn, text) }
	}
	for _, c := range []struct {
		name   string
		engine *fakeEngine
		test   recipes.Test
		want   string
	}{
		{
			"wrong status", &fakeEngine{serve: web(http.NotFound)}, page,
			`expected status 200 of /, got 404 with the body "404 page not found\n"`,
		},
		{
			"busy to the end", &fakeEngine{serve: web(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })}, quick,
			"expected status 200 of /, got 503 with the body nothing, until the test's time was over",
		},
		{
			"refused", &fakeEngine{}, quick,
			"expected an answer on port 80, none came (the connection was refused or closed), until the test's time was over",
		},
		{
			"program ends", &fakeEngine{exits: true, result: engine.RunResult{Exit: 1, Stderr: []byte("bind: in use\n")}}, page,
			"expected an answer on port 80, none came (the connection was refused or closed); the program ended with exit status 1\n  stderr:\n    | bind: in use",
		},
		{
			"no HTTP", &fakeEngine{exits: true, serve: answer("hello\r\n\r\n")}, page,
			"expected an answer on port 80, none came (reading the response: malformed HTTP response \"hello\"); the program ended with exit status 0",
		},
		{"wrong answer", &fakeEngine{serve: answer("-ERR\r\n")}, ping, `expected the answer to equal "+PONG\r\n", got "-ERR\r\n"`},
		{
			"not listening", &fakeEngine{exits: true, table: socketTable}, recipes.Test{Name: "t", TCP: &recipes.TCPProbe{Port: 81}},
			"expected an answer on port 81, none came (nothing listens on port 81); the program ended with exit status 0",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			results, err := tested(t, c.engine, c.test)
			if err == nil || len(results) != 1 || results[0].Detail != c.want {
				t.Errorf("got %v, %+v", err, results)
			}
		})
	}
}

// socketTable is /proc/net/tcp and tcp6 with ports 80 and 8080 listening.
const socketTable = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:0051 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
  sl  local_address                         remote_address                        st
   0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000
`

func TestMarkedOutput(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "",
		"answer":                         "answer",
		endMark:                          "",
		"answer" + endMark:               "answer",
		"answer" + endMark + "more":      "answer",
		"[end of" + endMark:              "[end of",
		"[end of the output of somebody": "[end of the output of somebody",
		"[[" + endMark[:20]:              "[[" + endMark[:20],
	} {
		for name, r := range map[string]io.Reader{"at once": strings.NewReader(text), "by bytes": iotest.OneByteReader(strings.NewReader(text))} {
			got, err := io.ReadAll(&marked{from: r})
			if err != nil || string(got) != want {
				t.Errorf("%q %s: got %q, %v", text, name, got, err)
			}
		}
	}
	// It ends though what it reads from does not, and nothing that is no mark waits.
	open, end := io.Pipe()
	defer end.Close()
	go func() { _, _ = io.WriteString(end, "now ["+"["+endMark) }()
	got, err := io.ReadAll(&marked{from: open})
	if err != nil || string(got) != "now [[" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestTCPProbe(t *testing.T) {
	pong := func(conn io.ReadWriter) {
		line, _ := bufio.NewReader(conn).ReadString('\n')
		for _, part := range []string{"+PO", "NG\r\n", line} {
			_, _ = io.WriteString(conn, part)
		}
	}
	e := &fakeEngine{serve: pong, table: socketTable}
	_, err := tested(t, e,
		recipes.Test{Name: "ping", TCP: &recipes.TCPProbe{Port: 6379, Send: "PING\r\n", Expect: &recipes.Match{Matches: ptr(`\+PONG\r\n`)}}},
		recipes.Test{Name: "any answer", TCP: &recipes.TCPProbe{Port: 6379, Send: "PING\r\n"}},
		recipes.Test{Name: "listens", TCP: &recipes.TCPProbe{Port: 80}},
		recipes.Test{Name: "listens on IPv6", TCP: &recipes.TCPProbe{Port: 8080}})
	must(t, err)
	if got := e.runs[2].Probe.Args[6:]; !reflect.DeepEqual(got, []string{"cat", "/proc/net/tcp", "/proc/net/tcp6"}) {
		t.Errorf("got %q", got)
	}
}

func TestFileKind(t *testing.T) {
	file := func(f recipes.FileProbe) recipes.Test { return recipes.Test{Name: "f", File: &f} }
	for _, c := range []struct {
		test recipes.Test
		want string
	}{
		{file(recipes.FileProbe{Path: "/etc/app.conf", Mode: ptr(int64(0o640)), Contains: ptr("80"), Equals: ptr("port = 80\n"), Matches: ptr("^port")}), ""},
		{file(recipes.FileProbe{Path: "/etc/link", Equals: ptr("port = 80\n"), Mode: ptr(int64(0o640))}), ""},
		{file(recipes.FileProbe{Path: "/var/log", Link: ptr("/dev/stdout")}), ""},
		{file(recipes.FileProbe{Path: "/var/log"}), ""},
		{file(recipes.FileProbe{Path: "/etc/none", Absent: true}), ""},
		{file(recipes.FileProbe{Path: "/etc/app.conf", Absent: true}), `expected no "/etc/app.conf", the image has it as a file`},
		{file(recipes.FileProbe{Path: "/etc/app.conf", Mode: ptr(int64(0o644))}), `expected "/etc/app.conf" to have mode 0644, it has 0640`},
		{file(recipes.FileProbe{Path: "/etc/app.conf", Contains: ptr("81")}), `expected "/etc/app.conf" to contain "81", got "port = 80\n"`},
		{file(recipes.FileProbe{Path: "/var/log", Link: ptr("/dev/null")}), `expected "/var/log" to be a symbolic link to "/dev/null", it leads to "/dev/stdout"`},
		{file(recipes.FileProbe{Path: "/etc", Link: ptr("x")}), `expected "/etc" to be a symbolic link to "x", it is a dir`},
		{file(recipes.FileProbe{Path: "/var/log", Mode: ptr(int64(0o644))}), `expected "/var/log" to have mode 0644, it is a symbolic link to nothing ("/dev/stdout")`},
		{file(recipes.FileProbe{Path: "/var/log", Contains: ptr("x")}), `reading "/var/log": the image has no such file`},
	} {
		run := testRun(t, nil, c.test)
		run.Engine = func(context.Context) (engine.Engine, error) { return nil, errors.New("a file test starts an engine") }
		results, _ := RunTests(context.Background(), run)
		if len(results) != 1 || results[0].Detail != c.want {
			t.Errorf("%+v: got %+v", c.test.File, results)
		}
	}
}

func TestCachedTests(t *testing.T) {
	e := &fakeEngine{}
	cache := newCache()
	run := testRun(t, e, recipes.Test{Name: "a", Run: []string{"x"}}, recipes.Test{Name: "f", File: &recipes.FileProbe{Path: "/etc"}})
	emulator, opened := "qemu 10", 0
	run.Cache, run.Emulator = cache, func() string { return emulator }
	run.Engine = func(context.Context) (engine.Engine, error) { opened++; return e, nil }
	check := func(what string, wantOpened int, wantCached ...bool) {
		t.Helper()
		opened = 0
		results, err := RunTests(context.Background(), run)
		must(t, err)
		var cached []bool
		for _, r := range results {
			cached = append(cached, r.Cached)
		}
		if opened != wantOpened || !reflect.DeepEqual(cached, wantCached) {
			t.Errorf("%s: opened %d, cached %v", what, opened, cached)
		}
	}
	check("first", 1, false, false)
	check("again", 0, true, true)
	emulator = "qemu 11"
	check("another emulator", 1, false, true)
	run.NoCache = true
	check("no cache", 1, false, false)
	run.NoCache = false
	run.Tests[0].Env = map[string]string{"A": "b"}
	check("another test", 1, false, true)
	run.Emulator = nil
	check("the engine is asked", 1, false, true)
	check("the engine is asked again", 1, true, true)
	e.result.Exit = 1
	run.Tests[0].Name = "fails"
	for range 2 {
		results, err := RunTests(context.Background(), run)
		if err == nil || results[0].Cached || results[0].OK {
			t.Errorf("a failure is not kept: got %+v, %v", results, err)
		}
	}
}

func TestEngineErrors(t *testing.T) {
	tests := []recipes.Test{{Name: "a", Run: []string{"x"}}, {Name: "b", Run: []string{"y"}}}
	lacks := &engine.EnvironmentError{What: "runc is not installed", Do: "install it"}

	run := testRun(t, nil, tests...)
	run.Engine = func(context.Context) (engine.Engine, error) { return nil, lacks }
	if results, err := RunTests(context.Background(), run); err != error(lacks) || len(results) != 0 {
		t.Errorf("no engine: got %v, %+v", err, results)
	}

	e := &fakeEngine{err: lacks}
	results, err := tested(t, e, tests...)
	var environment *engine.EnvironmentError
	if !errors.As(err, &environment) || len(results) != 0 || len(e.runs) != 1 || strings.Contains(err.Error(), "correct the recipe") {
		t.Errorf("engine breaks: got %v, %+v", err, results)
	}

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	results, err = RunTests(ctx, testRun(t, &fakeEngine{}, tests...))
	if !errors.Is(err, context.Canceled) || len(results) != 0 {
		t.Errorf("cancelled: got %v, %+v", err, results)
	}

	run = testRun(t, &fakeEngine{}, recipes.Test{Name: "p", HTTP: &recipes.HTTPProbe{Port: 80}})
	run.Probe = nil
	if _, err := RunTests(context.Background(), run); err == nil || !strings.Contains(err.Error(), "add the package busybox-static to the lock") {
		t.Errorf("no probe: got %v", err)
	}
}
