package builder

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/builder/image"
	"github.com/riscv-build/riscv-build/pusher"
)

// told is a display that keeps its notices.
type told struct {
	silent
	notices *[]string
}

func (d told) Notice(format string, args ...any) {
	*d.notices = append(*d.notices, fmt.Sprintf(format, args...))
}

func (told) Verbose(string, ...any) {}

func cacheBuilder(t *testing.T) (*Builder, *[]string) {
	t.Helper()
	var notices []string
	b, err := New(Config{StateDir: t.TempDir(), Display: told{notices: &notices}})
	if err != nil {
		t.Fatal(err)
	}
	return b, &notices
}

func put(t *testing.T, b *Builder, text string) image.Layer {
	t.Helper()
	l, err := image.PutTar(t.Context(), b.store.Content(), text, func(w io.Writer) error {
		_, err := io.WriteString(w, strings.Repeat(text, 1000))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// filled is a builder whose cache has an entry of each kind, of a recipe "x".
func filled(t *testing.T) (b *Builder, compiled, tools image.Layer) {
	t.Helper()
	b, _ = cacheBuilder(t)
	compiled, tools = put(t, b, "compiled"), put(t, b, "tools")
	zipped, err := b.compressed(t.Context(), compiled)
	if err != nil {
		t.Fatal(err)
	}
	desc, err := image.Write(t.Context(), b.store.Content(), image.Spec{Platform: image.Platform, Layers: []image.Layer{zipped}, Created: time.Unix(1, 0)})
	if err != nil {
		t.Fatal(err)
	}
	index, _, err := image.Put(t.Context(), b.store.Content(), strings.NewReader("[]"))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range map[string]any{
		"image-1": imageEntry{Desc: desc}, "build-1": artifactEntry{Layer: compiled}, "needs-1": needsEntry{Packages: []string{"libz"}},
		"rootfs-1": rootLayer{Layer: tools, Contents: index}, "check-test-1": map[string]bool{"ok": true},
	} {
		if err := b.cache.put(k, v); err != nil {
			t.Fatal(err)
		}
	}
	u := &uses{heavy: []string{"rootfs-1", "rootfs-none"}}
	u.add("image-1", "build-1", "needs-1", "check-test-1", "gone-1")
	b.kept.put("x", &plan{used: u})
	return b, compiled, tools
}

// TestCacheComesBack: what one state directory exported another one takes, blob
// by blob when it is used.
func TestCacheComesBack(t *testing.T) {
	target := serveRegistry(t)
	artifact, err := pusher.New(pusher.Options{}).Artifact(target + "/ci")
	if err != nil || !strings.HasSuffix(artifact.String(), "/ci:cache") {
		t.Fatal(artifact, err)
	}
	for name, store := range map[string]CacheStore{"registry": artifact, "local": pusher.ArtifactDir(filepath.Join(t.TempDir(), "c"))} {
		t.Run(name, func(t *testing.T) {
			from, compiled, tools := filled(t)
			if err := from.ExportCache(t.Context(), store, []string{"x", "unknown"}, false); err != nil {
				t.Fatal(err)
			}
			to, notices := cacheBuilder(t)
			if err := to.ImportCaches(t.Context(), []CacheStore{store}); err != nil || len(*notices) != 0 {
				t.Fatal(err, *notices)
			}
			var img imageEntry
			var art artifactEntry
			var needs needsEntry
			if !to.cache.get("image-1", &img) || !to.cache.get("build-1", &art) || !to.cache.get("needs-1", &needs) || needs.Packages[0] != "libz" {
				t.Fatal("entries are missing")
			}
			if _, ok := to.cache.Get("check-test-1"); !ok {
				t.Error("the test's result is missing")
			}
			if _, ok := to.cache.Get("rootfs-1"); ok || to.reachable(tools.Desc.Digest) {
				t.Error("mode min holds the compiler")
			}
			if !to.reachable(compiled.Desc.Digest) || to.store.Has(t.Context(), compiled.Desc.Digest) {
				t.Error("blobs are not brought when they are used")
			}
			if _, err := to.open(t.Context(), img); err != nil {
				t.Error(err)
			}
			if !to.has(t.Context(), compiled.Desc.Digest) || to.has(t.Context(), "sha256:"+digestOf64) {
				t.Error("the compiled layer did not come, or one that is nowhere did")
			}
			// What was not built this time is kept; all of it comes with max.
			if err := to.ExportCache(t.Context(), store, []string{"x"}, false); err != nil {
				t.Error(err)
			}
			if err := from.ExportCache(t.Context(), store, []string{"x"}, true); err != nil {
				t.Error(err)
			}
			last, _ := cacheBuilder(t)
			if err := last.ImportCaches(t.Context(), []CacheStore{store}); err != nil {
				t.Fatal(err)
			}
			var root rootLayer
			if !last.cache.get("rootfs-1", &root) || !last.has(t.Context(), root.Layer.Desc.Digest, root.Contents) {
				t.Error("mode max does not hold the compiler")
			}
		})
	}
}

// TestCacheThatCannotBeRead: it is told of, and is no error.
func TestCacheThatCannotBeRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	store := pusher.ArtifactDir(dir)
	b, notices := cacheBuilder(t)
	take := func(want string) {
		t.Helper()
		*notices = nil
		err := b.ImportCaches(t.Context(), []CacheStore{store})
		if text := strings.Join(*notices, "\n"); err != nil || !strings.Contains(text, want) || want == "" && text != "" {
			t.Errorf("%v, %q, want %q", err, text, want)
		}
	}
	take("there is none yet")
	from, compiled, _ := filled(t)
	if err := from.ExportCache(t.Context(), store, []string{"x"}, false); err != nil {
		t.Fatal(err)
	}
	take("")
	for _, path := range blobsOf(t, dir) {
		raw, err := os.ReadFile(path)
		if err == nil && bytes.HasPrefix(raw, []byte{0x1f, 0x8b}) { // gzip
			err = errors.Join(os.Remove(path), os.WriteFile(path, append(raw[:len(raw)-1], 'x'), 0o644))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if b.has(t.Context(), compiled.Desc.Digest) {
			t.Error("a damaged blob was taken")
		}
	}
	if len(*notices) != 1 {
		t.Errorf("a damaged blob was not told of once: %q", *notices)
	}
	if err := os.WriteFile(filepath.Join(dir, "index.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	take("WARNING: it is not used")
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := b.ImportCaches(ctx, []CacheStore{store}); err == nil {
		t.Error("a run that was ended goes on")
	}
}

func blobsOf(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "blobs", "sha256", "*"))
	if err != nil || len(paths) == 0 {
		t.Fatal(err, paths)
	}
	return paths
}

// TestCacheEntryNames: an entry of a cache becomes a file of that name.
func TestCacheEntryNames(t *testing.T) {
	i := &imports{caches: []*openedCache{{doc: cacheDocument{Entries: map[string]json.RawMessage{"../x": []byte("1"), "image-1": []byte("1")}}}}}
	if _, ok := i.entry("../x"); ok {
		t.Error("an entry may leave the directory")
	}
	if _, ok := i.entry("image-1"); !ok {
		t.Error("an entry is not found")
	}
	if c, _, _ := i.blob(digest.FromString("x")); c != nil {
		t.Error("a blob is found that is nowhere")
	}
}
