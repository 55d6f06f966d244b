package main

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// fakeRegistry is a registry in memory: by path of the API, what is there.
type fakeRegistry struct {
	*httptest.Server
	host string

	mu    sync.Mutex
	files map[string]fakeFile
	fail  map[string]int // path to status
}

type fakeFile struct {
	mediaType string
	raw       []byte
}

func startFakeRegistry(t *testing.T) *fakeRegistry {
	t.Helper()
	f := &fakeRegistry{files: map[string]fakeFile{}, fail: map[string]int{}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	f.host = strings.TrimPrefix(f.URL, "http://")
	return f
}

func (f *fakeRegistry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if status := f.fail[r.URL.Path]; status != 0 {
		w.WriteHeader(status)
		return
	}
	file, ok := f.files[r.URL.Path]
	switch {
	case r.URL.Path == "/v2/":
	case strings.HasSuffix(r.URL.Path, "/_catalog"), strings.HasSuffix(r.URL.Path, "/tags/list"):
		f.list(w, path.Dir(path.Dir(r.URL.Path)))
	case r.Method == http.MethodPost:
		w.Header().Set("Location", r.URL.Path)
		w.WriteHeader(http.StatusAccepted)
	case r.Method == http.MethodPut:
		raw, _ := io.ReadAll(r.Body)
		at := r.URL.Path
		if d := r.URL.Query().Get("digest"); d != "" {
			at = strings.Replace(at, "/blobs/uploads/", "/blobs/"+d, 1)
		}
		f.files[at] = fakeFile{r.Header.Get("Content-Type"), raw}
		f.files[path.Dir(at)+"/"+digest.FromBytes(raw).String()] = f.files[at]
		w.WriteHeader(http.StatusCreated)
	case !ok:
		w.WriteHeader(http.StatusNotFound)
	case r.Method == http.MethodDelete:
		delete(f.files, r.URL.Path)
		w.WriteHeader(http.StatusAccepted)
	default:
		w.Header().Set("Content-Type", file.mediaType)
		w.Header().Set("Content-Length", strconv.Itoa(len(file.raw)))
		w.Header().Set("Docker-Content-Digest", digest.FromBytes(file.raw).String())
		_, _ = w.Write(file.raw)
	}
}

// list answers for the tags of the repository at a path, or for all repositories.
func (f *fakeRegistry) list(w http.ResponseWriter, at string) {
	repos, tags := []string{}, []string{}
	for p := range f.files {
		repo, tag, ok := strings.Cut(p, "/manifests/")
		if !ok || strings.Contains(tag, ":") {
			continue
		}
		if name := strings.TrimPrefix(repo, "/v2/"); !slices.Contains(repos, name) {
			repos = append(repos, name)
		}
		if repo == at {
			tags = append(tags, tag)
		}
	}
	slices.Sort(repos)
	slices.Sort(tags)
	_ = json.NewEncoder(w).Encode(map[string]any{"repositories": repos, "tags": tags})
}

func (f *fakeRegistry) put(at, mediaType string, v any) ocispec.Descriptor {
	raw, ok := v.([]byte)
	if !ok {
		raw, _ = json.Marshal(v)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	f.files[at] = fakeFile{mediaType, raw}
	f.files[path.Dir(at)+"/"+d.Digest.String()] = f.files[at]
	return d
}

// image puts an image whose configuration says arch, with one program that is
// for machine, an e_machine.
func (f *fakeRegistry) image(t *testing.T, name, arch string, machine uint16) ocispec.Descriptor {
	t.Helper()
	repo, tag, _ := strings.Cut(name, ":")
	blobs := "/v2/" + repo + "/blobs/x"
	var layer bytes.Buffer
	tw := tar.NewWriter(&layer)
	body := elfHeader(machine)
	if err := tw.WriteHeader(&tar.Header{Name: "bin/busybox", Mode: 0o755, Size: int64(len(body))}); err != nil {
		t.Fatal(err)
	}
	_, _ = tw.Write(body)
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	m.Layers = []ocispec.Descriptor{f.put(blobs, ocispec.MediaTypeImageLayer, layer.Bytes())}
	config := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: arch}}
	config.RootFS = ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{m.Layers[0].Digest}}
	config.Config.Cmd = []string{"/bin/busybox", "sh"}
	config.Config.Env = []string{"A=b c"}
	m.Config = f.put(blobs, ocispec.MediaTypeImageConfig, config)
	d := f.put("/v2/"+repo+"/manifests/"+tag, m.MediaType, m)
	d.Platform = &ocispec.Platform{OS: "linux", Architecture: arch}
	return d
}

// index puts an index of images.
func (f *fakeRegistry) index(name string, entries ...ocispec.Descriptor) {
	repo, tag, _ := strings.Cut(name, ":")
	f.put("/v2/"+repo+"/manifests/"+tag, ocispec.MediaTypeImageIndex,
		ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: entries})
}

const (
	machineAMD64   = 62
	machineARM64   = 183
	machineRISCV64 = 243
)

// elfHeader is the least that is a 64-bit program (System V ABI, "ELF Header").
func elfHeader(machine uint16) []byte {
	head := make([]byte, 64)
	copy(head, "\x7fELF\x02\x01\x01")
	for at, v := range map[int]uint16{16: 2, 18: machine, 20: 1, 52: 64, 54: 56, 58: 64} {
		binary.LittleEndian.PutUint16(head[at:], v)
	}
	head[48] = 5 // double-float ABI, compressed instructions
	return head
}

func (f *fakeRegistry) ref(name string) string { return fmt.Sprintf("http://%s/%s", f.host, name) }
