//go:build linux

package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
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
