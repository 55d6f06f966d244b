package fetch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// fullDisk is a content store whose writers run out of space after room bytes.
type fullDisk struct {
	content.Store
	room int
}

type fullWriter struct {
	content.Writer
	room int
}

func (f fullDisk) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	w, err := f.Store.Writer(ctx, opts...)
	return &fullWriter{w, f.room}, err
}

func (f *fullWriter) Write(p []byte) (int, error) {
	n, err := f.Writer.Write(p[:min(f.room, len(p))])
	f.room -= n
	if err == nil && n < len(p) {
		err = &os.PathError{Op: "write", Path: "data", Err: syscall.ENOSPC}
	}
	return n, err
}

func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	s.content = fullDisk{s.content, 100 << 10}
	_, err := s.Fetch(t.Context(), []Blob{blobAt(serve(t, whole))}, quick())
	var se *SpaceError
	if !errors.As(err, &se) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "free") {
		t.Fatalf("got %v", err)
	}
	if _, _, err := s.Put(t.Context(), bytes.NewReader(data)); !errors.As(err, &se) {
		t.Fatalf("got %v", err)
	}
	if s.Has(t.Context(), dataDigest) {
		t.Error("a half-written blob is kept as finished")
	}
	s = open(t, dir)
	stats, err := s.Fetch(t.Context(), []Blob{blobAt(serve(t, whole))}, quick())
	if err != nil || stats.Downloaded >= int64(len(data)) {
		t.Errorf("the next run got %v and downloaded %d bytes", err, stats.Downloaded)
	}
	verify(t, s)
}

func TestNoRoomBeforeDownload(t *testing.T) {
	b := blobAt("http://mirror.example/never-asked")
	b.Size = 1 << 60
	_, err := open(t, t.TempDir()).Fetch(t.Context(), []Blob{b}, quick())
	var se *SpaceError
	if !errors.As(err, &se) || se.Need != 1<<60 {
		t.Errorf("got %v", err)
	}
}

func TestPutAndOpen(t *testing.T) {
	s := open(t, t.TempDir())
	for range 2 { // the second time it is there already
		dgst, size, err := s.Put(t.Context(), bytes.NewReader(data))
		if err != nil || dgst != dataDigest || size != int64(len(data)) {
			t.Fatalf("got %s, %d, %v", dgst, size, err)
		}
	}
	r, err := s.Open(t.Context(), dataDigest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, data) || r.Size() != int64(len(data)) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	if _, err := s.Open(t.Context(), digest.FromString("none")); !errdefs.IsNotFound(err) {
		t.Errorf("got %v", err)
	}
	if s.Has(t.Context(), "sha256:../../x") {
		t.Error("has a blob of an invalid digest")
	}
	if _, _, err := s.Put(t.Context(), io.MultiReader(strings.NewReader("a"), failing{})); err == nil {
		t.Error("a broken reader was stored")
	}
	left, _ := os.ReadDir(filepath.Join(s.Dir(), "ingest"))
	if len(left) != 0 {
		t.Errorf("%d ingests left", len(left))
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("broken") }

// TestOpenCleans: a killed Put is removed, a killed download kept.
func TestOpenCleans(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for _, ref := range []string{refPut + "1", refDownload + dataDigest.String(), "someone/else"} {
		w, err := s.content.Writer(t.Context(), content.WithRef(ref))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data[:100]); err != nil {
			t.Fatal(err)
		}
		_ = w.Close()
	}
	if err := os.MkdirAll(filepath.Join(dir, "ingest", "damaged"), 0o755); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	st, err := s.content.ListStatuses(t.Context())
	if err != nil || len(st) != 1 || st[0].Ref != refDownload+dataDigest.String() {
		t.Errorf("left: %v, %v", st, err)
	}
	left, _ := os.ReadDir(filepath.Join(dir, "ingest"))
	if len(left) != 1 {
		t.Errorf("%d ingest directories left", len(left))
	}
}

// TestDamagedBlob: a stored file of the wrong size is downloaded again.
func TestDamagedBlob(t *testing.T) {
	s := open(t, t.TempDir())
	if err := os.WriteFile(s.path(dataDigest), data[:10], 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Fetch(t.Context(), []Blob{blobAt(serve(t, whole))}, quick()); err != nil {
		t.Fatal(err)
	}
	verify(t, s)
}

func put(t *testing.T, s *Store, text string, age time.Duration) digest.Digest {
	t.Helper()
	dgst, _, err := s.Put(t.Context(), strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-age)
	if err := os.Chtimes(s.path(dgst), at, at); err != nil {
		t.Fatal(err)
	}
	return dgst
}

func TestPrune(t *testing.T) {
	const day = 24 * time.Hour
	cases := []struct {
		name string
		opt  PruneOptions
		want string // what is left
	}{
		{"everything", PruneOptions{}, "manifest layer"},
		{"older", PruneOptions{OlderThan: 5 * day}, "manifest layer new"},
		{"limit", PruneOptions{Limit: 1}, "manifest layer"},
		{"wide limit", PruneOptions{Limit: 1 << 20}, "manifest layer new middle old"},
		{"dry", PruneOptions{DryRun: true}, "manifest layer new middle old"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, t.TempDir())
			blobs := map[string]digest.Digest{
				"layer": put(t, s, "layer", 90*day), "new": put(t, s, "new", 2*day),
				"middle": put(t, s, "middle", 6*day), "old": put(t, s, "old", 90*day),
			}
			m, err := json.Marshal(ocispec.Manifest{Layers: []ocispec.Descriptor{{Digest: blobs["layer"]}}})
			if err != nil {
				t.Fatal(err)
			}
			blobs["manifest"] = put(t, s, string(m), 90*day)
			c.opt.Roots = []digest.Digest{blobs["manifest"]}
			done, err := s.Prune(t.Context(), c.opt)
			if err != nil {
				t.Fatal(err)
			}
			var left []string
			for _, name := range []string{"manifest", "layer", "new", "middle", "old"} {
				if _, ok := s.stat(blobs[name]); ok {
					left = append(left, name)
				}
			}
			if got := strings.Join(left, " "); got != c.want || !c.opt.DryRun && done.Blobs != 5-len(left) {
				t.Errorf("left %q, want %q; %+v", got, c.want, done)
			}
		})
	}
}

func TestDUAndUse(t *testing.T) {
	s := open(t, t.TempDir())
	a := put(t, s, "aaa", 50*time.Hour)
	put(t, s, "bb", 0)
	du, err := s.DU(t.Context(), func(d digest.Digest) string {
		if d == a {
			return "layers"
		}
		return ""
	})
	if err != nil || len(du) != 2 || du[0].Group != "layers" || du[0].Bytes != 3 || du[1].Group != "other" || du[1].Blobs != 1 {
		t.Errorf("got %+v, %v", du, err)
	}
	if !s.Has(t.Context(), a) {
		t.Fatal("blob missing")
	}
	if fi, _ := s.stat(a); time.Since(fi.ModTime()) > time.Minute {
		t.Error("the use was not noted")
	}
}
