package pusher

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestContents: sizes, what is shared, what cannot be read; and that a second
// list reads no manifest again.
func TestContents(t *testing.T) {
	f := startFake(t)
	f.multi(t, "team/a", "1", "amd64", "riscv64")
	f.multi(t, "team/a", "2", "amd64", "riscv64")
	f.multi(t, "team/b", "1", "riscv64")
	f.put("odd", "broken", ocispec.MediaTypeImageManifest, []byte(`{`))
	var blobs atomic.Int32
	f.before = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
			blobs.Add(1)
		}
		return false
	}
	c, err := New(quick()).Contents("http://" + f.host)
	if err != nil {
		t.Fatal(err)
	}
	all, err := c.Tags(t.Context())
	if err != nil || len(all) != 7 {
		t.Fatal(all, err)
	}
	if all[0].Repository != "odd" || all[0].Err == nil {
		t.Errorf("got %+v, want what is wrong with it", all[0])
	}
	for _, h := range all[1:] {
		if h.Err != nil || h.Bytes == 0 || h.Shared > h.Bytes || len(h.Images) == 0 {
			t.Errorf("got %+v", h)
		}
	}
	before := blobs.Load()
	c.at = c.at.Add(-contentsFresh)
	if again, err := c.Tags(t.Context()); err != nil || len(again) != len(all) {
		t.Error(again, err)
	}
	if after := blobs.Load(); after != before {
		t.Errorf("%d blobs were read again", after-before)
	}
}

func TestShare(t *testing.T) {
	held := func(repository string, of digest.Digest, blobs ...digest.Digest) Held {
		var info ImageInfo
		for _, b := range blobs {
			info.blobs = append(info.blobs, ocispec.Descriptor{Digest: b, Size: 10})
		}
		return Held{Repository: repository, Digest: of, Images: []ImageInfo{info}}
	}
	all := []Held{
		held("a", "1", "base", "own"), held("a", "1", "base", "own"), // two tags of one image share nothing
		held("a", "2", "base", "other", "other"), held("b", "1", "own"),
	}
	share(all)
	for i, want := range [][2]int64{{20, 20}, {20, 20}, {20, 10}, {10, 10}} {
		if got := [2]int64{all[i].Bytes, all[i].Shared}; got != want {
			t.Errorf("%d: got %d bytes, want %d", i, got, want)
		}
	}
	alone := []Held{held("a", "1", "x"), held("a", "1", "x")}
	if share(alone); alone[0].Shared != 0 || alone[1].Bytes != 10 {
		t.Errorf("got %+v", alone)
	}
}
