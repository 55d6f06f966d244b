package pusher

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestList: all pages, what a tag holds, and a repository that cannot be read
// between others that can.
func TestList(t *testing.T) {
	f := startFake(t)
	f.page = 2
	for i := range 7 {
		f.multi(t, fmt.Sprintf("team/r%d", i), "all", "amd64", "riscv64")
	}
	f.put("empty", "", ocispec.MediaTypeImageManifest, []byte(`{}`))
	f.put("odd", "artifact", ocispec.MediaTypeImageManifest, []byte(`{"config":{"mediaType":"application/vnd.oci.empty.v1+json"}}`))
	f.put("odd", "broken", ocispec.MediaTypeImageManifest, []byte(`{`))
	var now, most atomic.Int32
	f.before = func(w http.ResponseWriter, r *http.Request) bool {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer now.Add(-1)
		if strings.HasPrefix(r.URL.Path, "/v2/team/r3/tags") {
			refuseWith(w, http.StatusForbidden, "DENIED")
			return true
		}
		time.Sleep(time.Millisecond)
		return false
	}
	opt := quick()
	opt.Parallel = 2
	all, err := New(opt).List(t.Context(), "http://"+f.host)
	if err != nil || len(all) != 9 {
		t.Fatal(len(all), err)
	}
	if most.Load() > 2 {
		t.Errorf("%d requests at a time", most.Load())
	}
	for _, r := range all {
		switch {
		case r.Name == "team/r3":
			if r.Err == nil || !strings.Contains(r.Error, "403 Forbidden") || len(r.Tags) != 0 {
				t.Errorf("%+v", r)
			}
		case r.Name == "empty":
			if r.Err != nil || r.Tags == nil || len(r.Tags) != 0 {
				t.Errorf("%+v", r)
			}
		case r.Name == "odd":
			if r.Err == nil || len(r.Tags) != 2 || len(r.Tags[0].Images) != 0 || r.Tags[0].Error != "" || r.Tags[1].Error == "" {
				t.Errorf("%+v", r)
			}
		default:
			if r.Err != nil || len(r.Tags) != 3 || r.Tags[0].Name != "all" || len(r.Tags[0].Images) != 2 {
				t.Errorf("%+v", r)
				continue
			}
			img := r.Tags[0].Images[1]
			if img.Platform != "linux/riscv64" || img.Digest != r.Tags[2].Digest || img.Size < 100 || img.Size != r.Tags[2].Images[0].Size {
				t.Errorf("%+v", img)
			}
		}
	}
}

func TestListErrors(t *testing.T) {
	f := startFake(t)
	f.before = func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/_catalog") {
			refuseWith(w, http.StatusNotFound, "UNSUPPORTED")
			return true
		}
		return false
	}
	for host, want := range map[string]string{
		"http://" + f.host: "listing repositories at registry", "": "no host",
		"127.0.0.1:1": "nothing listens there",
	} {
		if _, err := New(quick()).List(t.Context(), host); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v", host, err)
		}
	}
}

func TestListBelowAPrefix(t *testing.T) {
	f := startFake(t)
	for _, repo := range []string{"a/x", "ab/y", "a", "a/b/z"} {
		f.multi(t, repo, "t", "riscv64")
	}
	got, err := New(quick()).Repositories(t.Context(), "http://"+f.host+"/a/")
	if err != nil || strings.Join(got, " ") != "a/b/z a/x" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestPlatforms(t *testing.T) {
	f := startFake(t)
	f.multi(t, "x", "all", "riscv64", "amd64")
	index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{
		f.put("x", "", ocispec.MediaTypeImageManifest, f.get("x", "amd64").raw), // no platform in the entry
		{MediaType: ocispec.MediaTypeImageManifest, Digest: "sha256:00", Platform: &ocispec.Platform{OS: "unknown", Architecture: "unknown"}},
	}}
	f.put("x", "bare", index.MediaType, marshal(t, index))
	p := New(quick())
	for tag, want := range map[string]string{"all": "linux/amd64 linux/riscv64", "riscv64": "linux/riscv64", "bare": "linux/amd64"} {
		got, err := p.Platforms(t.Context(), "http://"+f.host+"/x:"+tag)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: got %q, %v", tag, got, err)
		}
	}
	if _, err := p.Platforms(t.Context(), "http://"+f.host+"/x:nope"); !IsNotFound(err) {
		t.Errorf("absent: %v", err)
	}
	if _, err := p.Platforms(t.Context(), "127.0.0.1:1/x"); err == nil || IsNotFound(err) {
		t.Errorf("unreachable: %v", err)
	}
	if !Riscv64([]string{"linux/amd64", "linux/riscv64"}) || Riscv64([]string{"linux/amd64"}) || Riscv64(nil) {
		t.Error("Riscv64 is wrong")
	}
}

func TestRemove(t *testing.T) {
	for _, c := range []struct {
		name, deletes, object, want string
		dry                         bool
		left                        string
	}{
		{"tag only", "", "t", "t, manifest false", false, "amd64 riscv64 u"},
		{"dry", "", "t", "t, manifest false", true, "amd64 riscv64 t u"},
		{"digest", "", "@", "t u, manifest true", false, "amd64 riscv64"},
		{"registry without tag deletes", "no-tags", "amd64", "amd64, manifest true", false, "riscv64 t u"},
		{"and other tags", "no-tags", "t", `["t" "u"] name the same image`, false, "amd64 riscv64 t u"},
		{"switched off", "off", "amd64", "deletes are switched off", false, "amd64 riscv64 t u"},
		{"switched off, digest", "off", "@", "405 Method Not Allowed (unsupported: said the fake)", false, "amd64 riscv64 t u"},
		{"absent", "", "nope", "404", false, "amd64 riscv64 t u"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := startFake(t)
			f.deletes = c.deletes
			index := f.multi(t, "x", "t", "amd64", "riscv64")
			f.put("x", "u", index.MediaType, f.get("x", "t").raw)
			ref := "http://" + f.host + "/x:" + c.object
			if c.object == "@" {
				ref = "http://" + f.host + "/x@" + index.Digest.String()
			}
			done, err := New(quick()).Remove(t.Context(), ref, c.dry)
			got := fmt.Sprintf("%s, manifest %v", strings.Join(done.Tags, " "), done.Manifest)
			if err != nil {
				got = err.Error()
			}
			if !strings.Contains(got, c.want) {
				t.Errorf("got %s", got)
			}
			if left := strings.Join(f.tags("x"), " "); left != c.left {
				t.Errorf("left %s", left)
			}
		})
	}
}

// TestRemoveAtRegistry2: the server that most people run.
func TestRemoveAtRegistry2(t *testing.T) {
	host := "http://" + startRegistry(t, registryConfig{})
	p := New(quick())
	img := testImage(t, "riscv64", "x")
	if _, err := p.Push(t.Context(), img, []string{host + "/x:a", host + "/x:b"}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Remove(t.Context(), host+"/x:a", false); err == nil || !strings.Contains(err.Error(), `["a" "b"] name the same image`) {
		t.Errorf("got %v", err)
	}
	done, err := p.Remove(t.Context(), host+"/x@"+img.Desc.Digest.String(), false)
	if err != nil || !done.Manifest || len(done.Tags) != 2 {
		t.Fatal(done, err)
	}
	all, err := p.List(t.Context(), host)
	if err != nil || len(all) != 1 || all[0].Err != nil || len(all[0].Tags) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
}
