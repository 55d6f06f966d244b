// Package tests drives the built program against real parts: the archive,
// BuildKit and runc, QEMU, registries and container engines. The lines of the
// acceptance list are tests of their own (line_*_test.go); RISCV_BUILD_ACCEPT=full
// runs them with the full counts, otherwise they run reduced, through the same
// code. What a test needs and does not find fails it, with the name of the package.
package tests

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var (
	full   = os.Getenv("RISCV_BUILD_ACCEPT") == "full"
	binary string // the program under test
	work   string // removed at the end; on a real disk, overlayfs needs it
)

func TestMain(m *testing.M) {
	code, err := runAll(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "tests:", err)
		code = 1
	}
	os.Exit(code)
}

func runAll(m *testing.M) (int, error) {
	var err error
	// Not os.TempDir(): that may be a tmpfs, on which overlayfs and the sizes
	// of a build are another matter.
	if work, err = os.MkdirTemp("/var/tmp", "riscv-build-tests-"); err != nil {
		return 0, err
	}
	defer os.RemoveAll(work)
	binary = filepath.Join(work, "bin", "riscv-build")
	cmd := exec.Command("go", "build", "-trimpath", "-o", binary, "./cmd/riscv-build")
	cmd.Dir = root()
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("building the program: %w\n%s", err, out)
	}
	return m.Run(), nil
}

// root is the top of the checkout.
func root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(file))
}

// figure reports a line of the acceptance list. In the reduced run a time is
// printed and not judged: a loaded machine must not turn a test red.
func figure(t *testing.T, line, got, limit string, ok, timing bool) {
	t.Helper()
	mark := "ok"
	switch {
	case !ok && timing && !full:
		mark = "not judged in the reduced run"
	case !ok:
		mark = "EXCEEDED"
	}
	fmt.Printf("accept %s | %s | limit %s | %s\n", line, got, limit, mark)
	if !ok && (full || !timing) {
		t.Errorf("line %s: %s, the limit is %s", line, got, limit)
	}
}

// need fails the test when a program is missing.
func need(t *testing.T, program, pkg string) string {
	t.Helper()
	p, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is missing: apt-get install %s (tests/provision.sh test does it)", program, pkg)
	}
	return p
}

// state is a state directory with the environment of a run.
type state struct {
	t   *testing.T
	dir string
	env []string
}

// emptyState is a new state directory with nothing in it.
func emptyState(t *testing.T, name string) *state {
	t.Helper()
	dir := filepath.Join(work, strings.ReplaceAll(t.Name(), "/", "-"), name)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return &state{t: t, dir: dir}
}

// downloaded is a state directory in which all downloads are done and nothing else is.
func downloaded(t *testing.T, name string) *state {
	t.Helper()
	s := emptyState(t, name)
	seed := downloads(t)
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("cp", "-al", filepath.Join(seed, "content"), s.dir).CombinedOutput()
	if err != nil {
		t.Fatalf("copying the downloads: %v: %s", err, out)
	}
	return s
}

var seedOnce sync.Once
var seedErr error

// downloads fetches what the catalogue needs, once a run.
func downloads(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(work, "seed")
	seedOnce.Do(func() {
		r := run(context.Background(), nil, "fetch", "nginx", "redis", "busybox", "--state-dir", dir)
		if r.code != 0 {
			seedErr = fmt.Errorf("fetching: exit %d\n%s", r.code, r.stderr)
		}
	})
	if seedErr != nil {
		t.Fatal(seedErr)
	}
	return dir
}

// result is what a run of the program gave.
type result struct {
	stdout, stderr string
	code           int
	took           time.Duration
}

// run runs the program; env is added to the environment.
func run(ctx context.Context, env []string, args ...string) result {
	return command(ctx, env, binary, args...)
}

func command(ctx context.Context, env []string, name string, args ...string) result {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start := time.Now()
	err := cmd.Run()
	r := result{stdout: stdout.String(), stderr: stderr.String(), took: time.Since(start)}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		r.code = exit.ExitCode()
	case err != nil:
		r.code, r.stderr = 127, err.Error()
	}
	return r
}

// run runs the program on the state directory.
func (s *state) run(args ...string) result {
	return run(context.Background(), s.env, append(args, "--state-dir", s.dir)...)
}

// ok runs the program and fails the test unless it exits 0.
func (s *state) ok(args ...string) result {
	s.t.Helper()
	r := s.run(args...)
	if r.code != 0 {
		s.t.Fatalf("riscv-build %s: exit %d\n%s\n%s", strings.Join(args, " "), r.code, r.stdout, tail(r.stderr, 60))
	}
	return r
}

// report is the document of --json.
type report struct {
	Results []struct {
		Name         string             `json:"name"`
		Mode         string             `json:"mode"`
		Engine       string             `json:"engine"`
		Digest       string             `json:"digest"`
		ConfigDigest string             `json:"config_digest"`
		Tags         []string           `json:"tags"`
		Stages       map[string]float64 `json:"stages"`
		Downloaded   int64              `json:"downloaded_bytes"`
		Uploaded     int64              `json:"uploaded_bytes"`
		UploadedN    int                `json:"uploaded_blobs"`
		Cached       bool               `json:"cached"`
		Error        string             `json:"error"`
		Layers       []struct {
			Digest string `json:"digest"`
			Size   int64  `json:"size"`
		} `json:"layers"`
		Tests []struct {
			Name   string `json:"name"`
			OK     bool   `json:"ok"`
			Cached bool   `json:"cached"`
		} `json:"tests"`
	} `json:"results"`
}

// build builds with --json and returns the report.
func (s *state) build(args ...string) (report, result) {
	s.t.Helper()
	r := s.ok(append([]string{"build", "--json", "--progress", "plain"}, args...)...)
	return s.report(r), r
}

func (s *state) report(r result) report {
	s.t.Helper()
	var rep report
	if err := json.Unmarshal([]byte(r.stdout), &rep); err != nil {
		s.t.Fatalf("reading the report: %v\n%s", err, r.stdout)
	}
	return rep
}

// digests maps names to manifest digests.
func (r report) digests() map[string]string {
	m := map[string]string{}
	for _, x := range r.Results {
		m[x.Name] = x.Digest
	}
	return m
}

func tail(s string, lines int) string {
	l := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(l[max(0, len(l)-lines):], "\n")
}

// freePort finds a free port of 127.0.0.1.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// registry starts docker-registry, plain HTTP, and returns HOST:PORT.
func registry(t *testing.T) string {
	t.Helper()
	bin := need(t, "docker-registry", "docker-registry")
	addr := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	dir, err := os.MkdirTemp(work, "registry-")
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}\nhttp: {addr: %s}\n", dir, addr)
	file := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	start(t, bin, "serve", file)
	waitFor(t, 20*time.Second, "the registry", func() bool {
		resp, err := http.Get("http://" + addr + "/v2/")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
	t.Cleanup(func() { os.RemoveAll(dir) })
	return addr
}

// start runs a program beside the test and ends it, by its id, with the test.
func start(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(name, args...)
	log, err := os.CreateTemp(work, "log-")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", name, err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		done := make(chan struct{})
		go func() { cmd.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(15 * time.Second):
			cmd.Process.Kill()
			<-done
		}
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("%s said:\n%s", filepath.Base(name), tail(string(text), 30))
		}
		log.Close()
	})
	return cmd
}

func waitFor(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("%s did not come up within %s", what, limit)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

var (
	warmOnce sync.Once
	warmDir  string
)

// warm is a state directory that all tests share, in which the images of this
// run have been built once.
func warm(t *testing.T) *state {
	t.Helper()
	warmOnce.Do(func() {
		s := downloaded(t, "warm")
		dir := filepath.Join(work, "warm")
		if err := os.Rename(s.dir, dir); err != nil {
			t.Fatal(err)
		}
		s.dir = dir
		s.build(images()...)
		warmDir = dir
	})
	if warmDir == "" {
		t.Fatal("the first build failed, see above")
	}
	return &state{t: t, dir: warmDir}
}
