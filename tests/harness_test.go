// Package tests drives the built program against real parts: the archive,
// BuildKit and runc, QEMU, registries and container engines. The lines of the
// acceptance list are tests of their own (line_*_test.go); RISCV_BUILD_ACCEPT=full
// runs them with the full counts, otherwise they run reduced, through the same
// code. What a test needs and does not find fails it, with the name of the package.
package tests

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/tests/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }

// What the packages of tests share, by the short names it has here.
var (
	full     = rig.Full
	root     = rig.Root
	need     = rig.Need
	run      = rig.Run
	command  = rig.Command
	sh       = rig.Sh
	tail     = rig.Tail
	freePort = rig.FreePort
	start    = rig.Start
	waitFor  = rig.WaitFor
)

type result = rig.Result

func figure(t *testing.T, line, got, limit string, ok, timing bool) {
	t.Helper()
	rig.Figure{Line: line, Got: got, Limit: limit, OK: ok, Timing: timing}.Report(t)
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
	dir := filepath.Join(rig.Work, strings.ReplaceAll(t.Name(), "/", "-"), name)
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
	dir := filepath.Join(rig.Work, "seed")
	seedOnce.Do(func() {
		r := run(context.Background(), nil, "fetch", "nginx", "redis", "busybox", "pause", "--state-dir", dir)
		if r.Code != 0 {
			seedErr = fmt.Errorf("fetching: exit %d\n%s", r.Code, r.Stderr)
		}
	})
	if seedErr != nil {
		t.Fatal(seedErr)
	}
	return dir
}

// run runs the program on the state directory.
func (s *state) run(args ...string) result {
	return run(context.Background(), s.env, append(args, "--state-dir", s.dir)...)
}

// ok runs the program and fails the test unless it exits 0.
func (s *state) ok(args ...string) result {
	s.t.Helper()
	r := s.run(args...)
	if r.Code != 0 {
		s.t.Fatalf("riscv-build %s: exit %d\n%s\n%s", strings.Join(args, " "), r.Code, r.Stdout, tail(r.Stderr, 60))
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
	if err := json.Unmarshal([]byte(r.Stdout), &rep); err != nil {
		s.t.Fatalf("reading the report: %v\n%s", err, r.Stdout)
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

// registry starts `riscv-build registry serve`, plain HTTP, and returns HOST:PORT.
func registry(t *testing.T) string {
	t.Helper()
	return startRegistry(t, func(addr, dir string) []string {
		return []string{rig.Binary, "registry", "serve", "--quiet", "--addr", addr, "--root", dir}
	})
}

// foreignRegistry starts the registry of others that most people have.
func foreignRegistry(t *testing.T) string {
	t.Helper()
	return startRegistry(t, func(addr, dir string) []string {
		config := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}\nhttp: {addr: %s}\n", dir, addr)
		file := filepath.Join(dir, "config.yml")
		if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
			t.Fatal(err)
		}
		return []string{need(t, "docker-registry", "docker-registry"), "serve", file}
	})
}

// startRegistry runs the command of a registry on a free port and a new directory.
func startRegistry(t *testing.T, command func(addr, dir string) []string) string {
	t.Helper()
	addr := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	dir, err := os.MkdirTemp(rig.Work, "registry-")
	if err != nil {
		t.Fatal(err)
	}
	args := command(addr, dir)
	start(t, args[0], args[1:]...)
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
		dir := filepath.Join(rig.Work, "warm")
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
