//go:build linux

package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/moby/buildkit/client/llb"

	"github.com/riscv-build/riscv-build/builder/engine"
)

// holdings lists what the tests' containerd keeps in the namespace of a root;
// empty where there is no such namespace.
func holdings(t *testing.T, root string) (held []string) {
	t.Helper()
	ns := containerdNamespace(root)
	c, err := containerd.New(socket(t), containerd.WithDefaultNamespace(ns))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	names, err := c.NamespaceService().List(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if name == ns {
			held = append(held, "namespace "+name)
		}
	}
	ls, err := c.LeasesService().List(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range ls {
		held = append(held, "lease "+l.ID)
	}
	return append(held, ownServer().tasks(t, ns)...)
}

// Pruned of everything, an engine leaves nothing in its containerd or on its disk.
func TestPruneLeavesNothingInContainerd(t *testing.T) {
	f := need(t)
	root := filepath.Join(t.TempDir(), "buildkit")
	e, err := Open(context.Background(), Options{Root: root, Containerd: socket(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Solve(context.Background(), job(f, f.artifacts(t, llb.Args([]string{"/tool", "write", "/out/file", "x"})))); err != nil {
		t.Error(err)
	}
	if len(holdings(t, root)) < 2 {
		t.Error("a build left no lease: the test shows nothing")
	}
	freed, err := e.(engine.Cache).Prune(context.Background(), 0)
	if err != nil || freed == 0 {
		t.Errorf("freed %d bytes, %v", freed, err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if left := holdings(t, root); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if _, err := os.Stat(root); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the root is still there: %v", err)
	}
}

// A root that was made with another containerd, or the namespace of a root that
// was deleted by hand, is of no use and in nobody's way.
func TestContainerdOfAnotherRoot(t *testing.T) {
	f := need(t)
	w := Options{Root: filepath.Join(t.TempDir(), "buildkit"), Containerd: socket(t)}
	solve := func() (said []string) {
		t.Helper()
		w.Notice = func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
		e, err := Open(context.Background(), w)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Solve(context.Background(), job(f, f.artifacts(t, llb.Args([]string{"/tool", "write", "/out/file", "y"})))); err != nil {
			t.Error(err)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		return said
	}
	if said := solve(); len(said) > 0 {
		t.Errorf("said %q", said)
	}
	if err := os.WriteFile(filepath.Join(w.Root, serverName), []byte("another\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if said := solve(); len(said) != 1 || !strings.Contains(said[0], "belongs to another containerd") {
		t.Errorf("said %q", said)
	}
	if err := os.RemoveAll(w.Root); err != nil {
		t.Fatal(err)
	}
	if said := solve(); len(said) > 0 {
		t.Errorf("said %q", said)
	}
}

// A shim that its containerd has forgotten, as when the client is killed while a
// container is being made, is ended by the next engine.
func TestForgottenShim(t *testing.T) {
	need(t)
	w := Options{Root: filepath.Join(t.TempDir(), "buildkit"), Containerd: socket(t), Notice: t.Logf}
	if err := os.MkdirAll(w.Root, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := writeMark(w.Root); err != nil {
		t.Fatal(err)
	}
	ns := containerdNamespace(w.Root)
	bundle := filepath.Join(t.TempDir(), ns, "forgotten")
	if err := os.MkdirAll(bundle, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(bundle, "log") // a shim ends where nobody listens
	if err := syscall.Mkfifo(log, 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := os.OpenFile(log, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	start := exec.Command("containerd-shim-runc-v2", "-namespace", ns, "-id", "forgotten", "-address", socket(t), "start")
	start.Dir = bundle
	start.Env = append(os.Environ(), "TTRPC_ADDRESS="+socket(t)+".ttrpc", "GRPC_ADDRESS="+socket(t))
	if out, err := start.Output(); err != nil {
		t.Fatalf("starting a shim: %v\n%s", err, out)
	}
	shims, err := shimsOf(ns)
	if err != nil || len(shims) != 1 {
		t.Fatalf("shims %v, %v", shims, err)
	}
	e, err := Open(context.Background(), w)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if shims, err := shimsOf(ns); err != nil || len(shims) > 0 {
		t.Errorf("shims %v, %v", shims, err)
	}
	if _, err := os.Stat(bundle); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its directory is still there: %v", err)
	}
}

// A containerd that ends in the middle of a build, and comes back, takes the
// build with it and nothing else.
func TestContainerdRestarts(t *testing.T) {
	f := need(t)
	w := Options{Root: filepath.Join(t.TempDir(), "buildkit"), Containerd: socket(t), Notice: t.Logf}
	e, err := Open(context.Background(), w)
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() {
		failed <- e.Solve(context.Background(), job(f, f.artifacts(t, llb.Args([]string{"/tool", "sleep"}))))
	}()
	waitFor(t, func() bool { return len(ownServer().tasks(t, containerdNamespace(w.Root))) > 0 })
	s := ownServer()
	s.stop(syscall.SIGKILL)
	select {
	case err = <-failed:
	case <-time.After(10 * time.Second):
		t.Fatal("the build waits for a containerd that is gone")
	}
	if !errors.As(err, new(*engine.EnvironmentError)) {
		t.Errorf("got %v", err)
	}
	t.Logf("the build said: %v", err)
	if err := e.Close(); err != nil {
		t.Logf("closing said: %v", err)
	}
	if _, err := Open(context.Background(), w); !errors.As(err, new(*engine.EnvironmentError)) {
		t.Errorf("opened without a containerd: %v", err)
	}
	if s.start(); s.err != nil {
		t.Fatal(s.err)
	}
	after, err := Open(context.Background(), w)
	if err != nil {
		t.Fatal(err)
	}
	assertNothingLeft(t, w.Root)
	if err := after.Solve(context.Background(), job(f, f.artifacts(t, llb.Args([]string{"/tool", "write", "/out/file", "z"})))); err != nil {
		t.Error(err)
	}
	if err := after.Close(); err != nil {
		t.Error(err)
	}
}
