//go:build linux

package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/riscv-build/riscv-build/builder/engine"
	"golang.org/x/sys/unix"
)

func job(f *fixture, graph []byte) engine.Job {
	return engine.Job{Name: "test", Definition: graph, Store: f.store}
}

// exported reads the one manifest of an OCI layout.
func exported(t *testing.T, dir string) ocispec.Manifest {
	t.Helper()
	var index ocispec.Index
	var manifest ocispec.Manifest
	readFile(t, filepath.Join(dir, "index.json"), &index)
	if len(index.Manifests) != 1 || index.Manifests[0].MediaType != ocispec.MediaTypeImageManifest {
		t.Fatalf("index: %+v", index)
	}
	readFile(t, blobPath(dir, index.Manifests[0]), &manifest)
	var layout ocispec.ImageLayout
	readFile(t, filepath.Join(dir, ocispec.ImageLayoutFile), &layout)
	return manifest
}

func blobPath(dir string, d ocispec.Descriptor) string {
	return filepath.Join(dir, "blobs", d.Digest.Algorithm().String(), d.Digest.Encoded())
}

func readFile(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

func testSolveGivesTheSameLayout(t *testing.T, w Options) {
	f := need(t)
	graph := f.artifacts(t, llb.Args([]string{"/tool", "write", "/out/file", "content"}))
	var first string
	for range 2 {
		dir := t.TempDir()
		e := open(t, w)
		j := job(f, graph)
		j.Output = dir
		if err := e.Solve(context.Background(), j); err != nil {
			t.Fatal(err)
		}
		m := exported(t, dir)
		if len(m.Layers) != 1 || m.Layers[0].MediaType != ocispec.MediaTypeImageLayer {
			t.Fatalf("layers: %+v", m.Layers)
		}
		var config ocispec.Image
		readFile(t, blobPath(dir, m.Config), &config)
		if config.Architecture != "riscv64" || config.OS != "linux" {
			t.Errorf("platform %+v", config.Platform)
		}
		index, err := os.ReadFile(filepath.Join(dir, "index.json"))
		if err != nil {
			t.Fatal(err)
		}
		if first == "" {
			first = string(index)
		} else if first != string(index) {
			t.Errorf("another layout in another root:\n%s\n%s", first, index)
		}
		if freed, err := e.Prune(context.Background(), 0); err != nil || freed == 0 {
			t.Errorf("pruned %d, %v", freed, err)
		}
		if usage, err := e.DiskUsage(context.Background()); err != nil || usage.Total != 0 {
			t.Errorf("left after pruning: %+v, %v", usage, err)
		}
	}
}

// counter counts the steps that were executed, not taken from the cache.
type counter struct{ executed, cached atomic.Int32 }

func (c *counter) Status(s *client.SolveStatus) {
	for _, v := range s.Vertexes {
		if v.Completed != nil && strings.HasPrefix(v.Name, "/tool") {
			if v.Cached {
				c.cached.Add(1)
			} else {
				c.executed.Add(1)
			}
		}
	}
}

func testSecretsAndCache(t *testing.T, w Options) {
	f := need(t)
	e := open(t, w)
	graph := f.artifacts(t, llb.Args([]string{"/tool", "copy", "/run/secrets/jobs", "/out/jobs"}), llb.AddSecret("/run/secrets/jobs", llb.SecretID("jobs")))
	for _, c := range []struct {
		jobs    string
		noCache bool
		want    string
		again   bool
	}{
		{jobs: "2", want: "2", again: true},
		{jobs: "8", want: "2"}, // a secret is no part of the graph
		{jobs: "8", noCache: true, want: "8", again: true},
	} {
		j := job(f, graph)
		j.Output, j.Secrets, j.NoCache = t.TempDir(), map[string][]byte{"jobs": []byte(c.jobs)}, c.noCache
		var steps counter
		j.Progress = &steps
		if err := e.Solve(context.Background(), j); err != nil {
			t.Fatal(err)
		}
		layer, err := os.ReadFile(blobPath(j.Output, exported(t, j.Output).Layers[0]))
		if err != nil {
			t.Fatal(err)
		}
		if body := string(layer[1024:1025]); body != c.want && !strings.Contains(string(layer), "\x00"+c.want+"\x00") {
			t.Errorf("jobs %s: the file holds another number", c.jobs)
		}
		if again := steps.executed.Load() > 0; again != c.again {
			t.Errorf("jobs %s, no cache %v: executed %v, want %v", c.jobs, c.noCache, again, c.again)
		}
	}
}

func testFailingStep(t *testing.T, w Options) {
	f := need(t)
	e := open(t, w)
	graph := f.artifacts(t, llb.Args([]string{"/tool", "flood", "100000"}), llb.WithCustomName("compiling nginx"))
	err := e.Solve(context.Background(), job(f, graph))
	var failed *engine.ExecError
	if !errors.As(err, &failed) {
		t.Fatalf("got %v", err)
	}
	lines := strings.Split(failed.Log, "\n")
	if failed.Step != "compiling nginx" || failed.Exit != 3 || len(lines) != logLines || lines[logLines-1] != "line 99999" {
		t.Errorf("got step %q, exit %d, %d lines, the last %q", failed.Step, failed.Exit, len(lines), lines[len(lines)-1])
	}
	if text := err.Error(); !strings.Contains(text, `running step "compiling nginx": exit status 3`) {
		t.Errorf("message: %s", text)
	}
}

func testStepWithoutProgram(t *testing.T, w Options) {
	f := need(t)
	e := open(t, w)
	err := e.Solve(context.Background(), job(f, f.artifacts(t, llb.Args([]string{"/absent"}))))
	var failed *engine.ExecError
	if !errors.As(err, &failed) || !strings.Contains(failed.Log, "no such file") {
		t.Errorf("got %v", err)
	}
}

func testImageThatIsNotInTheStore(t *testing.T, w Options) {
	f := need(t)
	e := open(t, w)
	st := llb.OCILayout(engine.StoreName+"/absent@sha256:"+strings.Repeat("0", 64), llb.OCIStore("", engine.StoreName))
	err := e.Solve(context.Background(), job(f, marshal(t, st)))
	if err == nil || !strings.Contains(err.Error(), "not found") || errors.As(err, new(*engine.ExecError)) {
		t.Errorf("got %v", err)
	}
}

func testNoNetworkInGraphs(t *testing.T, w Options) {
	f := need(t)
	e := open(t, w)
	// The graph forgets to ask for no network, and still has none.
	err := e.Solve(context.Background(), job(f, f.artifacts(t, llb.Args([]string{"/tool", "connect", "192.0.2.1:80"}))))
	if err == nil || !strings.Contains(err.Error(), "network is unreachable") {
		t.Errorf("got %v", err)
	}
}

// brokenStore fails in the middle of every large blob.
type brokenStore struct{ content.Store }

func (s brokenStore) ReaderAt(ctx context.Context, d ocispec.Descriptor) (content.ReaderAt, error) {
	r, err := s.Store.ReaderAt(ctx, d)
	return brokenReader{r}, err
}

type brokenReader struct{ content.ReaderAt }

func (r brokenReader) ReadAt(p []byte, off int64) (int, error) {
	if half := r.Size() / 2; half > 100_000 && off+int64(len(p)) > half {
		return 0, errors.New("the disk is on fire")
	}
	return r.ReaderAt.ReadAt(p, off)
}

// testLoadingAfterAFailure: a layer of which a part was unpacked is unpacked
// again from its start. What a job has is never copied into the worker's content.
func testLoadingAfterAFailure(t *testing.T, w Options) {
	f := need(t)
	e := open(t, w)
	j := job(f, f.artifacts(t, llb.Args([]string{"/tool", "write", "/out/file", "x"})))
	j.Store = brokenStore{f.store}
	if err := e.Solve(context.Background(), j); err == nil {
		t.Fatal("half a layer was enough")
	}
	j.Store = f.store
	if err := e.Solve(context.Background(), j); err != nil {
		t.Errorf("the next build: %v", err)
	}
	copied := func(info content.Info) error {
		if _, err := f.store.Info(context.Background(), info.Digest); err == nil {
			t.Errorf("the worker has blob %s, %d bytes, of the job", info.Digest, info.Size)
		}
		return nil
	}
	if err := e.daemon.worker.ContentStore().Walk(context.Background(), copied); err != nil {
		t.Error(err)
	}
}

func testSolveIsCancelled(t *testing.T, w Options) {
	f := need(t)
	e := open(t, w)
	ctx, cancel := context.WithCancelCause(context.Background())
	interrupted := errors.New("interrupted")
	go func() {
		for len(containersBelow(t, e.opts.Root)) == 0 {
			time.Sleep(20 * time.Millisecond)
		}
		cancel(interrupted)
	}()
	err := e.Solve(ctx, job(f, f.artifacts(t, llb.Args([]string{"/tool", "sleep"}))))
	start := time.Now()
	if !errors.Is(err, interrupted) {
		t.Errorf("got %v", err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("closing took %v", d)
	}
	assertNothingLeft(t, e.opts.Root)
}

func TestFullDisk(t *testing.T) {
	f := need(t)
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=64m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	e := open(t, Options{Root: filepath.Join(disk, "buildkit")})
	err := e.Solve(context.Background(), job(f, f.artifacts(t, llb.Args([]string{"/tool", "fill", "/out/big"}))))
	var full *engine.SpaceError
	if !errors.As(err, &full) || full.Path != e.opts.Root {
		t.Fatalf("got %v", err)
	}
	if err := e.Solve(context.Background(), job(f, f.artifacts(t, llb.Args([]string{"/tool", "write", "/out/file", "x"})))); err != nil {
		t.Errorf("the next build: %v", err)
	}
}

func testCacheStaysUnderItsLimit(t *testing.T, w Options) {
	f := need(t)
	root := filepath.Join(t.TempDir(), "buildkit")
	const limit = 1 << 20 // less than one tool
	e := open(t, Options{Containerd: w.Containerd, Root: root, GCLimit: limit})
	if err := e.Solve(context.Background(), job(f, f.artifacts(t, llb.Args([]string{"/tool", "write", "/out/file", "x"})))); err != nil {
		t.Fatal(err)
	}
	before, err := e.DiskUsage(context.Background())
	if err != nil || before.Total <= limit {
		t.Fatalf("%d bytes, %v: the test needs more than the limit", before.Total, err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	after, err := open(t, Options{Containerd: w.Containerd, Root: root}).DiskUsage(context.Background())
	if err != nil || after.Total > limit {
		t.Errorf("%d bytes after closing, %v; limit %d", after.Total, err, limit)
	}
}

func TestStartIsQuick(t *testing.T) {
	need(t)
	root := filepath.Join(t.TempDir(), "buildkit")
	best := time.Hour
	for range 4 {
		start := time.Now()
		e, err := Open(context.Background(), Options{Root: root})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.(*Engine).DiskUsage(context.Background()); err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(start))
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("best start: %v", best)
	if best > 500*time.Millisecond {
		t.Errorf("a start took %v", best)
	}
}
