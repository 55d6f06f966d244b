package registry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/tests/rig"
)

// shape is an image of the benchmark: so many layers of so many bytes.
type shape struct{ layers, bytes int }

func (s shape) String() string { return fmt.Sprintf("%dx%d MB", s.layers, s.bytes/1e6) }

// shapes are those of the acceptance line, or small ones.
func shapes() (list []shape, rounds int) {
	if rig.Full {
		return []shape{{1, 200e6}, {200, 1e6}}, 10
	}
	return []shape{{1, 20e6}, {20, 1e6}}, 3
}

// TestLineRegistryD measures server and client against their peers.
func TestLineRegistryD(t *testing.T) {
	t.Run("servers", benchServers)
	t.Run("clients", benchClients)
}

// TestBenchRegistry is the same, for `make bench`.
func TestBenchRegistry(t *testing.T) {
	if !rig.Full {
		return // TestLineRegistryD has run it
	}
	TestLineRegistryD(t)
}

// times are the seconds of one side's rounds.
type times []float64

func (s times) median() float64 {
	sorted := slices.Sorted(slices.Values(s))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// timed measures what comes after all that was written before is on disk.
func timed(do func()) float64 {
	syscall.Sync()
	begin := time.Now()
	do()
	return time.Since(begin).Seconds()
}

// benchServers has one client push to and pull from both servers, in turns.
func benchServers(t *testing.T) {
	sides := []struct{ name, addr string }{{"riscv-build", serve(t, "--quiet").addr}, {"docker-registry", foreignRegistry(t)}}
	list, rounds := shapes()
	for _, sh := range list {
		push, pull := make([]times, 2), make([]times, 2)
		for round := range rounds {
			for turn := range sides {
				i := (turn + round) % 2
				l := newLoad(t, sh, uint64(round))
				l.addr, l.repo = sides[i].addr, fmt.Sprintf("bench/%d-%d", sh.layers, round)
				push[i] = append(push[i], timed(func() { l.push(t) }))
				pull[i] = append(pull[i], timed(func() { l.pull(t) }))
			}
		}
		for _, m := range []struct {
			what  string
			sides []times
		}{{"push", push}, {"pull", pull}} {
			ours, theirs := m.sides[0].median(), m.sides[1].median()
			size := float64(sh.layers*sh.bytes) / 1e6
			rig.Figure{Line: "RegistryD server, " + m.what + " of " + sh.String(), OK: theirs/ours >= 0.95, Timing: true,
				Got:   fmt.Sprintf("%.2fx the throughput of docker-registry (%.0f : %.0f MB/s, median of %d)", theirs/ours, size/ours, size/theirs, rounds),
				Limit: "0.95x"}.Report(t)
		}
	}
}

// foreignRegistry starts the registry of Debian's docker-registry package.
func foreignRegistry(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(rig.Work, "foreign-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	addr := fmt.Sprintf("127.0.0.1:%d", rig.FreePort(t))
	config := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %q}}\nhttp: {addr: %q}\n",
		dir, addr)
	file := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	rig.Start(t, rig.Need(t, "docker-registry", "docker-registry"), "serve", file)
	rig.WaitFor(t, 20*time.Second, "docker-registry", func() bool {
		resp, err := http.Get("http://" + addr + "/v2/")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
	return addr
}

// load is an image that a client in this process pushes and pulls, four blobs
// at a time and without looking at them, so that the server is what is measured.
type load struct {
	addr, repo string
	blobs      [][]byte
	digests    []digest.Digest
	manifest   []byte
}

func newLoad(t *testing.T, sh shape, seed uint64) *load {
	t.Helper()
	l := &load{}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	for i := range sh.layers + 1 {
		blob, kind := noise(sh.bytes, seed<<16+uint64(i)), ocispec.MediaTypeImageLayer
		if i == sh.layers {
			blob, kind = fmt.Appendf(nil, `{"architecture":"riscv64","os":"linux","rootfs":{"type":"layers"},"seed":%d}`, seed), ocispec.MediaTypeImageConfig
		}
		d := ocispec.Descriptor{MediaType: kind, Digest: digest.FromBytes(blob), Size: int64(len(blob))}
		l.blobs, l.digests = append(l.blobs, blob), append(l.digests, d.Digest)
		if kind == ocispec.MediaTypeImageConfig {
			m.Config = d
		} else {
			m.Layers = append(m.Layers, d)
		}
	}
	var err error
	if l.manifest, err = json.Marshal(m); err != nil {
		t.Fatal(err)
	}
	return l
}

// each does something with every blob, four at a time.
func (l *load) each(do func(i int) error) error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var first error
	next := 0
	for range 4 {
		wg.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				stop := i >= len(l.blobs) || first != nil
				mu.Unlock()
				if stop {
					return
				}
				if err := do(i); err != nil {
					mu.Lock()
					first = err
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return first
}

var benchClient = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8, ReadBufferSize: 64 << 10, WriteBufferSize: 64 << 10}}

// ask sends a request and drops the answer's body.
func ask(method, url, contentType string, body []byte, want int) (*http.Response, error) {
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := benchClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if _, err := drop(resp.Body); err != nil {
		return nil, err
	}
	if resp.StatusCode != want {
		return nil, fmt.Errorf("%s %s: %s", method, url, resp.Status)
	}
	return resp, nil
}

func (l *load) push(t *testing.T) {
	t.Helper()
	err := l.each(func(i int) error {
		resp, err := ask(http.MethodPost, "http://"+l.addr+"/v2/"+l.repo+"/blobs/uploads/", "", nil, http.StatusAccepted)
		if err != nil {
			return err
		}
		at, err := resp.Location()
		if err != nil {
			return err
		}
		q := at.Query()
		q.Set("digest", l.digests[i].String())
		at.RawQuery = q.Encode()
		_, err = ask(http.MethodPut, at.String(), "application/octet-stream", l.blobs[i], http.StatusCreated)
		return err
	})
	if err == nil {
		_, err = ask(http.MethodPut, "http://"+l.addr+"/v2/"+l.repo+"/manifests/1", ocispec.MediaTypeImageManifest, l.manifest, http.StatusCreated)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (l *load) pull(t *testing.T) {
	t.Helper()
	err := l.each(func(i int) error {
		_, err := ask(http.MethodGet, "http://"+l.addr+"/v2/"+l.repo+"/blobs/"+l.digests[i].String(), "", nil, http.StatusOK)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// benchClients has three clients push to one server, in turns. What they send
// was sent by each of them before, to another repository: the server's disk
// does the same work for all. Each round has an address of its own: skopeo
// remembers which repository of a registry has a blob.
func benchClients(t *testing.T) {
	crane := rig.BuildClient(t, "crane", "github.com/google/go-containerregistry/cmd/crane")
	skopeo := rig.Need(t, "skopeo", "skopeo")
	s := newServer(t)
	s.wide = true
	s.start(t, "--quiet")
	p := startProxy(t, s.addr, func(*http.Request) (fault, int64) { return none, 0 })
	env := settings(t, "")
	list, rounds := shapes()
	for _, sh := range list {
		sizes := make([]int, sh.layers)
		for i := range sizes {
			sizes[i] = sh.bytes
		}
		dir, want := newPackedImage(t, 99, sizes...)
		sides := []struct {
			name string
			line func(ref string) []string
		}{
			{"riscv-build", func(ref string) []string {
				return []string{rig.Binary, "copy", "--allow-other-arch", "oci:" + dir, "http://" + ref}
			}},
			{"skopeo", func(ref string) []string {
				return []string{skopeo, "copy", "--quiet", "--dest-tls-verify=false", "oci:" + dir, "docker://" + ref}
			}},
			{"crane", func(ref string) []string { return []string{crane, "push", "--insecure", dir, ref} }},
		}
		all := make([]times, len(sides))
		for round := range rounds + 1 { // the first is not counted
			addr := strings.Replace(s.addr, "127.0.0.1", fmt.Sprintf("127.%d.0.%d", sh.layers, round+1), 1)
			for turn := range sides {
				i := (turn + round) % len(sides)
				repo := fmt.Sprintf("clients/%s-%d-%d", sides[i].name, sh.layers, round)
				line := sides[i].line(addr + "/" + repo + ":1")
				took := timed(func() {
					if r := rig.Command(t.Context(), env, line[0], line[1:]...); r.Code != 0 {
						t.Fatalf("%q: exit code %d\n%s", line, r.Code, r.Stderr)
					}
				})
				if round > 0 {
					all[i] = append(all[i], took)
				} else if got, err := complete(http.DefaultClient, s.addr, repo, "1"); err != nil || got != want {
					t.Fatalf("%s pushed %s, %v", sides[i].name, got, err)
				}
			}
		}
		ours, best := all[0].median(), min(all[1].median(), all[2].median())
		rig.Figure{Line: "RegistryD client, push of " + sh.String(), OK: ours <= 1.05*best, Timing: true,
			Got: fmt.Sprintf("%.2fx the time of the faster peer (riscv-build %.2f s, skopeo %.2f s, crane %.2f s, median of %d)",
				ours/best, ours, all[1].median(), all[2].median(), rounds), Limit: "1.05x"}.Report(t)
		line := sides[0].line(p.addr + "/" + fmt.Sprintf("clients/riscv-build-%d-%d", sh.layers, rounds) + ":1")
		r := rig.Command(t.Context(), env, line[0], line[1:]...)
		rig.Figure{Line: "RegistryD again, " + sh.String(), OK: r.Code == 0 && p.uploaded == 0 && !strings.Contains(r.Stdout, "sent"),
			Got: fmt.Sprintf("%d bytes sent of an image that is there", p.uploaded), Limit: "0"}.Report(t)
	}
}
