package pusher

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// fake is a registry in memory for what the real one cannot be made to do:
// small pages, referrers, deletes of tags, changes between two requests.
type fake struct {
	*httptest.Server
	host string

	mu        sync.Mutex
	blobs     map[digest.Digest][]byte
	manifests map[string]map[string]stored // by repository, by tag and digest
	requests  []string
	page      int                                               // entries of a page of a list; 0: all
	referrers bool                                              // has the referrers API
	deletes   string                                            // "", "off", "no-tags"
	before    func(w http.ResponseWriter, r *http.Request) bool // true: it has answered; called unlocked
}

type stored struct {
	mediaType string
	raw       []byte
}

func startFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{blobs: map[digest.Digest][]byte{}, manifests: map[string]map[string]stored{}, referrers: true}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	f.host = strings.TrimPrefix(f.URL, "http://")
	return f
}

// seen gives the requests so far and forgets them.
func (f *fake) seen() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	text := strings.Join(f.requests, "\n")
	f.requests = nil
	return text
}

// put stores a manifest under a tag or, with "", its digest only.
func (f *fake) put(repo, tag, mediaType string, raw []byte) ocispec.Descriptor {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.store(repo, tag, stored{mediaType, raw})
}

func (f *fake) store(repo, tag string, s stored) ocispec.Descriptor {
	if f.manifests[repo] == nil {
		f.manifests[repo] = map[string]stored{}
	}
	d := ocispec.Descriptor{MediaType: s.mediaType, Digest: digest.FromBytes(s.raw), Size: int64(len(s.raw))}
	f.manifests[repo][d.Digest.String()] = s
	if tag != "" {
		f.manifests[repo][tag] = s
	}
	return d
}

func (f *fake) get(repo, object string) stored {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.manifests[repo][object]
}

func (f *fake) tags(repo string) []string {
	tags := []string{}
	for name := range f.manifests[repo] {
		if !strings.Contains(name, ":") {
			tags = append(tags, name)
		}
	}
	slices.Sort(tags)
	return tags
}

func refuse404(w http.ResponseWriter) { refuseWith(w, http.StatusNotFound, "MANIFEST_UNKNOWN") }

func refuseWith(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errors":[{"code":%q,"message":"said the fake"}]}`, code)
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.requests = append(f.requests, r.Method+" "+r.URL.Path)
	before := f.before
	f.mu.Unlock()
	if before != nil && before(w, r) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/v2/")
	switch repo, rest, _ := cutLast(path, "/manifests/", "/blobs/", "/referrers/", "/tags/"); {
	case path == "":
	case path == "_catalog":
		var names []string
		for name := range f.manifests {
			names = append(names, name)
		}
		slices.Sort(names)
		f.list(w, r, "repositories", names)
	case strings.HasSuffix(path, "/tags/list"):
		f.list(w, r, "tags", f.tags(repo))
	case strings.Contains(path, "/referrers/"):
		f.refer(w, repo, rest)
	case strings.Contains(path, "/blobs/"):
		f.blob(w, r, rest)
	default:
		f.manifest(w, r, repo, rest)
	}
}

func cutLast(path string, seps ...string) (before, after string, ok bool) {
	for _, sep := range seps {
		if i := strings.LastIndex(path, sep); i >= 0 {
			return path[:i], path[i+len(sep):], true
		}
	}
	return path, "", false
}

func (f *fake) list(w http.ResponseWriter, r *http.Request, key string, names []string) {
	if last := r.URL.Query().Get("last"); last != "" {
		names = names[slices.Index(names, last)+1:]
	}
	if f.page > 0 && len(names) > f.page {
		names = names[:f.page]
		w.Header().Set("Link", fmt.Sprintf(`<%s?last=%s>; rel="next"`, r.URL.Path, names[len(names)-1]))
	}
	_ = json.NewEncoder(w).Encode(map[string]any{key: names})
}

func (f *fake) refer(w http.ResponseWriter, repo, dgst string) {
	if !f.referrers {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{}}
	for name, s := range f.manifests[repo] {
		var m ocispec.Manifest
		if _ = json.Unmarshal(s.raw, &m); strings.Contains(name, ":") && m.Subject != nil && m.Subject.Digest.String() == dgst {
			index.Manifests = append(index.Manifests, ocispec.Descriptor{MediaType: s.mediaType, Digest: digest.Digest(name), Size: int64(len(s.raw))})
		}
	}
	w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
	_ = json.NewEncoder(w).Encode(index)
}

func (f *fake) blob(w http.ResponseWriter, r *http.Request, rest string) {
	switch r.Method {
	case http.MethodPost:
		if raw, ok := f.blobs[digest.Digest(r.URL.Query().Get("mount"))]; ok && raw != nil {
			w.WriteHeader(http.StatusCreated)
			return
		}
		w.Header().Set("Location", r.URL.Path+"session")
		w.WriteHeader(http.StatusAccepted)
	case http.MethodPut:
		raw, _ := io.ReadAll(r.Body)
		f.blobs[digest.FromBytes(raw)] = raw
		w.WriteHeader(http.StatusCreated)
	default:
		raw, ok := f.blobs[digest.Digest(rest)]
		if !ok {
			refuseWith(w, http.StatusNotFound, "BLOB_UNKNOWN")
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(raw)))
		_, _ = w.Write(raw)
	}
}

func (f *fake) manifest(w http.ResponseWriter, r *http.Request, repo, object string) {
	s, ok := f.manifests[repo][object]
	switch {
	case r.Method == http.MethodPut:
		raw, _ := io.ReadAll(r.Body)
		if strings.Contains(object, ":") {
			object = ""
		}
		f.store(repo, object, stored{r.Header.Get("Content-Type"), raw})
		if f.referrers {
			w.Header().Set("OCI-Subject", "yes")
		}
		w.WriteHeader(http.StatusCreated)
	case !ok:
		refuse404(w)
	case r.Method == http.MethodDelete && (f.deletes == "off" || f.deletes == "no-tags" && !strings.Contains(object, ":")):
		refuseWith(w, http.StatusMethodNotAllowed, "UNSUPPORTED")
	case r.Method == http.MethodDelete:
		for name, other := range f.manifests[repo] {
			if name == object || strings.Contains(object, ":") && string(other.raw) == string(s.raw) {
				delete(f.manifests[repo], name)
			}
		}
		w.WriteHeader(http.StatusAccepted)
	default:
		w.Header().Set("Content-Type", s.mediaType)
		w.Header().Set("Content-Length", strconv.Itoa(len(s.raw)))
		w.Header().Set("Docker-Content-Digest", digest.FromBytes(s.raw).String())
		_, _ = w.Write(s.raw)
	}
}

// multi pushes images of the given architectures and an index of them, all, to
// a repository, and gives the index.
func (f *fake) multi(t *testing.T, repo, tag string, archs ...string) ocispec.Descriptor {
	t.Helper()
	p := New(quick())
	index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex}
	index.SchemaVersion = 2
	for _, arch := range archs {
		img := testImage(t, arch, "layer of "+repo+" for "+arch)
		if _, err := p.Push(t.Context(), img, []string{"http://" + f.host + "/" + repo + ":" + arch}); err != nil {
			t.Fatal(err)
		}
		d := img.Desc
		d.Platform = &ocispec.Platform{OS: "linux", Architecture: arch}
		d.Annotations = map[string]string{"of": arch}
		index.Manifests = append(index.Manifests, d)
	}
	return f.put(repo, tag, ocispec.MediaTypeImageIndex, marshal(t, index))
}
