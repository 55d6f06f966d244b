package builder

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/builder/image"
	"github.com/riscv-build/riscv-build/pusher"
	"github.com/riscv-build/riscv-build/pusher/registry"
	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// serveRegistry serves a registry and gives its HOST:PORT.
func serveRegistry(t *testing.T) string {
	t.Helper()
	s, err := registry.Listen(registry.ServeOptions{Root: t.TempDir(), Address: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		<-done
	})
	return "http://" + s.Address().String()
}

// withInputs pushes an image that says what it was made from.
func withInputs(t *testing.T, b *Builder, req Request, inputs string) {
	t.Helper()
	layer, err := image.PutTar(t.Context(), b.store.Content(), "x", func(w io.Writer) error {
		tree := image.NewTree()
		defer tree.Close()
		return tree.Write(w, time.Unix(0, 0))
	})
	if err != nil {
		t.Fatal(err)
	}
	desc, err := image.Write(t.Context(), b.store.Content(), image.Spec{
		Platform: image.Platform, Layers: []image.Layer{layer}, Annotations: annotations(req.Recipe, nil, inputs), Created: time.Unix(1, 0),
	})
	if err != nil {
		t.Fatal(err)
	}
	refs := references(req.Push, req.Recipe.Push.Repository, req.tags())
	if _, err := b.send(t.Context(), req, pusher.Image{Provider: b.store.Content(), Desc: desc}, refs); err != nil {
		t.Fatal(err)
	}
}

func TestUnchanged(t *testing.T) {
	target := serveRegistry(t)
	b, err := New(Config{StateDir: t.TempDir(), Version: "v", Pusher: pusher.New(pusher.Options{}), Display: silent{}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, lock.Name)
	text := "schema = 1\nname = \"hello\"\nversion = \"1\"\nimage.base = \"scratch\"\n[[image.link]]\npath = \"/a\"\ntarget = \"b\"\n"
	parse := func(more string) *recipes.Recipe {
		r, err := recipes.Parse("hello.toml", []byte(more+text), nil)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := parse("")
	l := lock.New()
	l.PutSet(lock.Set{Name: "image/hello"}, nil)
	l.PutRecipe(lock.Recipe{Name: "hello", Inputs: r.LockInputs()})
	good := l.Marshal()
	req := Request{Recipe: r, LockPath: path, Push: []string{target + "/single"}}
	both := Request{Recipe: r, LockPath: path, Push: []string{target + "/single", target + "/second"}}
	index := Request{Recipe: r, LockPath: path, Push: []string{target + "/index"}, Index: true}
	inputs := inputDigest(r, l.Index(), "", "v")
	withInputs(t, b, req, inputs)
	withInputs(t, b, index, inputs)
	for _, c := range []struct {
		name   string
		lock   []byte
		req    Request
		change func(*Request)
		want   bool
	}{
		{"no lock", nil, req, nil, false},
		{"the same", good, req, nil, true},
		{"the same in an index", good, index, nil, true},
		{"an index where an image is to be", good, index, func(r *Request) { r.Index = false }, false},
		{"one registry lacks it", good, both, nil, false},
		{"another tag", good, req, func(r *Request) { r.Tags = []string{"new"} }, false},
		{"nowhere to push", good, req, func(r *Request) { r.Push = nil }, false},
		{"a file is wanted too", good, req, func(r *Request) { r.Output = "x.tar" }, false},
		{"another recipe", good, req, func(r *Request) { r.Recipe = parse("summary = \"x\"\n") }, false},
		{"a stale lock", good, req, func(r *Request) { r.Recipe = parse("image.packages = [\"tzdata\"]\n") }, false},
	} {
		if c.lock != nil {
			if err := os.WriteFile(path, c.lock, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if c.change != nil {
			c.change(&c.req)
		}
		res, same, err := b.Unchanged(t.Context(), c.req)
		if err != nil || same != c.want {
			t.Errorf("%s: %v, %v", c.name, same, err)
		}
		if same && (res.Outcome != OutcomeUnchanged || res.Digest == "" || len(res.Tags) != 1) {
			t.Errorf("%s: the result is %+v", c.name, res)
		}
	}
	withInputs(t, b, req, inputs+"x")
	if _, same, err := b.Unchanged(t.Context(), req); same || err != nil {
		t.Errorf("an image of other inputs is unchanged: %v, %v", same, err)
	}
	req.Push = []string{"http://127.0.0.1:1"}
	if r, same, err := b.Unchanged(t.Context(), req); same || err == nil || r.Error == "" {
		t.Errorf("a registry that is not there gives %v, %v", same, err)
	}
}
