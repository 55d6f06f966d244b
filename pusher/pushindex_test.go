package pusher

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// platformsAt lists what a tag of the fake holds.
func platformsAt(t *testing.T, f *fake, repo, tag string) string {
	t.Helper()
	all, err := New(quick()).Platforms(t.Context(), "http://"+f.host+"/"+repo+":"+tag)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

// entriesAt gives the entries of the index at a tag, byte by byte.
func entriesAt(t *testing.T, f *fake, repo, tag string) []string {
	t.Helper()
	var index struct{ Manifests []json.RawMessage }
	if err := json.Unmarshal(f.get(repo, tag).raw, &index); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range index.Manifests {
		out = append(out, string(e))
	}
	return out
}

// TestPushIndexKeepsOthers: one entry changes, all other bytes stay.
func TestPushIndexKeepsOthers(t *testing.T) {
	f := startFake(t)
	img := testImage(t, "riscv64", "new")
	ref := "http://" + f.host + "/x:all"
	f.multi(t, "x", "all", "amd64", "riscv64", "arm64")
	odd := strings.Replace(string(f.get("x", "all").raw), `{"schemaVersion"`, ` { "odd" : {"manifests":[1.0e0]}, "schemaVersion"`, 1)
	f.put("x", "all", ocispec.MediaTypeImageIndex, []byte(odd))
	before := entriesAt(t, f, "x", "all")
	p := New(quick())
	for range 2 {
		res, err := p.PushIndex(t.Context(), img, []string{ref})
		if err != nil || res.Digest != img.Desc.Digest || len(res.Tags) != 1 {
			t.Fatal(res, err)
		}
	}
	after := entriesAt(t, f, "x", "all")
	if len(after) != 3 || after[0] != before[0] || after[2] != before[2] || !strings.Contains(after[1], img.Desc.Digest.String()) {
		t.Errorf("got %q", after)
	}
	if text := string(f.get("x", "all").raw); !strings.HasPrefix(text, ` { "odd" : {"manifests":[1.0e0]}, "schemaVersion"`) {
		t.Errorf("other bytes changed: %s", text)
	}
	f.seen()
	if _, err := p.PushIndex(t.Context(), img, []string{ref}); err != nil || strings.Contains(f.seen(), "PUT") {
		t.Errorf("what is there was pushed again: %v", err)
	}
}

func TestPushIndexAtOtherTags(t *testing.T) {
	for _, c := range []struct {
		name string
		fill func(f *fake)
		want string
		err  string
	}{
		{"none", func(*fake) {}, "linux/riscv64", ""},
		{"added", func(f *fake) { f.multi(t, "x", "t", "amd64", "arm64") }, "linux/amd64 linux/arm64 linux/riscv64", ""},
		{"single of another", func(f *fake) {
			f.multi(t, "x", "y", "amd64")
			s := f.get("x", "amd64")
			f.put("x", "t", s.mediaType, s.raw)
		},
			"linux/amd64 linux/riscv64", ""},
		{"single of this", func(f *fake) {
			f.multi(t, "x", "y", "riscv64")
			s := f.get("x", "riscv64")
			f.put("x", "t", s.mediaType, s.raw)
		},
			"linux/riscv64", ""},
		{"docker list", func(f *fake) {
			f.put("x", "t", "application/vnd.docker.distribution.manifest.list.v2+json", []byte(`{"schemaVersion":2,"manifests":[]}`))
		}, "linux/riscv64", ""},
		{"twice there", func(f *fake) { f.multi(t, "x", "t", "riscv64", "amd64", "riscv64") }, "linux/amd64 linux/riscv64", ""},
		{"no image", func(f *fake) {
			f.put("x", "t", ocispec.MediaTypeImageManifest, []byte(`{"config":{"mediaType":"application/vnd.oci.empty.v1+json"}}`))
		}, "", "no image for a platform"},
		{"broken index", func(f *fake) { f.put("x", "t", ocispec.MediaTypeImageIndex, []byte(`{"manifests":`)) }, "", "reading the index"},
		{"index of nothing", func(f *fake) { f.put("x", "t", ocispec.MediaTypeImageIndex, []byte(`{}`)) }, "", `no "manifests"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := startFake(t)
			c.fill(f)
			_, err := New(quick()).PushIndex(t.Context(), testImage(t, "riscv64", "new"), []string{"http://" + f.host + "/x:t"})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := platformsAt(t, f, "x", "t"); got != c.want {
				t.Errorf("got %s", got)
			}
		})
	}
}

// TestPushIndexRaces: what somebody else writes meanwhile is kept, and said.
func TestPushIndexRaces(t *testing.T) {
	for _, c := range []struct {
		name  string
		when  string // the other writes before the nth of these requests
		times int
		want  string
		fails bool
	}{
		{"between reading and writing", "HEAD", 1, "linux/amd64 linux/riscv64", false},
		{"right after writing", "PUT", 1, "linux/amd64 linux/riscv64", false},
		{"again and again", "PUT", 100, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := startFake(t)
			f.multi(t, "x", "y", "amd64")
			other := f.get("x", "y")
			f.put("x", "t", ocispec.MediaTypeImageIndex, []byte(`{"schemaVersion":2,"manifests":[]}`))
			n := 0
			f.before = func(_ http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, "/manifests/t") {
					return false
				}
				switch {
				case c.when == "HEAD" && r.Method == "HEAD":
					if n++; n == 2 {
						f.put("x", "t", other.mediaType, other.raw)
					}
				case c.when == "PUT" && r.Method == "PUT":
					n = 1
				case c.when == "PUT" && n == 1 && c.times > 0: // the request after the PUT
					n, c.times = 0, c.times-1
					f.put("x", "t", other.mediaType, other.raw)
				}
				return false
			}
			var said []string
			opt := quick()
			opt.Notice = func(s string) { said = append(said, s) }
			_, err := New(opt).PushIndex(t.Context(), testImage(t, "riscv64", "new"), []string{"http://" + f.host + "/x:t"})
			if len(said) == 0 || !strings.Contains(said[0], "changed by somebody else") {
				t.Errorf("said %q", said)
			}
			var e *Error
			if c.fails {
				if !errors.As(err, &e) || !strings.Contains(err.Error(), "somebody else") {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			f.before = nil
			if got := platformsAt(t, f, "x", "t"); got != c.want {
				t.Errorf("got %s", got)
			}
		})
	}
}

func TestEditManifests(t *testing.T) {
	add := func(old []json.RawMessage) ([]json.RawMessage, error) {
		return append(old, json.RawMessage(`"new"`)), nil
	}
	for in, want := range map[string]string{
		`{"manifests":[]}`:                                `{"manifests":["new"]}`,
		"{\n \"manifests\" : null , \"a\":1 }\n":          "{\n \"manifests\" : [\"new\"] , \"a\":1 }\n",
		`{"a":{"manifests":[1]},"manifests":[ {"b":2} ]}`: `{"a":{"manifests":[1]},"manifests":[{"b":2},"new"]}`,
		`{"manifests":[1`:                                 "", `[]`: "", ``: "", `{"manifests":7}`: "", `{"a":1}`: "", `{"manifests":[]`: "",
	} {
		got, err := editManifests([]byte(in), add)
		if string(got) != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v", in, got, err)
		}
	}
}
