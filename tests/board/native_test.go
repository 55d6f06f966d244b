package board

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/tests/board/boardrig"
	"github.com/riscv-build/riscv-build/tests/rig"
)

// The images that the lines work with: of packages alone, and from source.
const (
	packageImage = "mosquitto"
	sourceImage  = "pause"
)

// recipeDir is where a board has the recipes of testdata.
const recipeDir = "/root/recipes"

// recipe is how the program is told of an image: a file of testdata, below dir,
// or a name of the catalogue.
func recipe(image, dir string) string {
	if image == packageImage {
		return filepath.Join(dir, image+".toml")
	}
	return image
}

// testdata is where the host has the recipes.
func testdata() string { return filepath.Join(rig.Root(), "tests", "board", "testdata") }

// report is the document of --json.
type report struct {
	Results []struct {
		Name     string             `json:"name"`
		Mode     string             `json:"mode"`
		Digest   string             `json:"digest"`
		Config   string             `json:"config_digest"`
		Tags     []string           `json:"tags"`
		Stages   map[string]float64 `json:"stages"`
		Uploaded int                `json:"uploaded_blobs"`
		Cached   bool               `json:"cached"`
		Layers   []struct {
			Digest string `json:"digest"`
		} `json:"layers"`
		Tests []struct {
			Name   string `json:"name"`
			OK     bool   `json:"ok"`
			Cached bool   `json:"cached"`
		} `json:"tests"`
		Loaded *struct {
			Into  string   `json:"into"`
			Names []string `json:"names"`
		} `json:"loaded"`
	} `json:"results"`
}

// digests names the images with their digests.
func (r report) digests() string {
	var all string
	for _, x := range r.Results {
		all += x.Name + " " + x.Digest + " "
	}
	return all
}

func parse(t *testing.T, r rig.Result) report {
	t.Helper()
	var rep report
	if err := json.Unmarshal([]byte(r.Stdout), &rep); err != nil || len(rep.Results) == 0 {
		t.Fatalf("reading the report: %v\n%s%s", err, r.Stdout, rig.Tail(r.Stderr, 30))
	}
	return rep
}

// made is an image that was built on a board.
type made struct {
	report
	said string        // on standard error
	took time.Duration // of the whole program
	peak int           // memory that the program had at most, MB
}

func (m made) digest() string { return m.Results[0].Digest }

var seeded struct {
	once sync.Once
	dir  string
	err  error
}

// seed is a state directory in which the host has made ready what a native build
// of the source image begins with: downloads and the layers of the tool chain. A
// board that has it begins with the compiling: what it would make ready itself is
// the same, byte for byte, and takes it minutes.
func seed(t *testing.T) string {
	t.Helper()
	env := boardrig.MirrorEnv(t)
	seeded.once.Do(func() { seeded.dir, seeded.err = makeSeed(env) })
	if seeded.err != nil {
		t.Fatal(seeded.err)
	}
	return seeded.dir
}

func makeSeed(env []string) (string, error) {
	dir, err := os.MkdirTemp(rig.Work, "seed-")
	if err != nil {
		return "", err
	}
	// What an emulated build would do is what a native one does.
	r := rig.Run(context.Background(), env, "graph", "--mode", "emulate", "--format", "json", sourceImage, "--state-dir", dir)
	if r.Code != 0 {
		return "", fmt.Errorf("making %s ready: exit code %d\n%s", sourceImage, r.Code, rig.Tail(r.Stderr, 30))
	}
	// The holder of the lock is a process of this machine.
	return dir, os.Remove(filepath.Join(dir, "lock"))
}

// nativeBoard is the board that builds for the lines A, B and D. In the reduced
// run it is the smallest there is, does not make the tool chain ready, and line C
// comes upon it.
func nativeBoard(t *testing.T) *boardrig.Board {
	t.Helper()
	opt := boardrig.Options{Memory: "2G"}
	if !rig.Full {
		opt = boardrig.Options{Memory: "1G", Persist: true, Seed: seed(t)}
	}
	b := boardrig.SharedWith(t, opt)
	b.Copy(testdata(), recipeDir)
	return b
}

var (
	nativeMu sync.Mutex
	natives  = map[string]made{}
)

// native is an image that was built on the board of the lines; once a test
// process, with the containerd that is there.
func native(t *testing.T, image string) made {
	t.Helper()
	b := nativeBoard(t)
	nativeMu.Lock()
	defer nativeMu.Unlock()
	m, ok := natives[image]
	if !ok {
		m = buildOn(t, b, image)
		natives[image] = m
	}
	return m
}

// buildOn builds an image on a board in its usual state directory.
func buildOn(t *testing.T, b *boardrig.Board, image string, args ...string) made {
	t.Helper()
	command := append([]string{"peak", "/tmp/peak", "riscv-build", "build", "--json", "--progress", "plain", "-v", recipe(image, recipeDir)}, args...)
	r := b.Must(strings.Join(command, " "))
	peak, err := strconv.Atoi(strings.TrimSpace(b.Must("cat /tmp/peak").Stdout))
	if err != nil {
		t.Fatal(err)
	}
	m := made{report: parse(t, r), said: r.Stderr, took: r.Took, peak: peak / 1024}
	x := m.Results[0]
	if x.Mode != "native" {
		t.Errorf("%s: the mode is %s", image, x.Mode)
	}
	if len(x.Tests) == 0 {
		t.Errorf("%s: no test in the report", image)
	}
	for _, test := range x.Tests {
		if !test.OK || test.Cached {
			t.Errorf("%s: test %q: ok %v, cached %v", image, test.Name, test.OK, test.Cached)
		}
	}
	fmt.Printf("%s on the board: %.0f s (%v), %d MB\n", image, m.took.Seconds(), x.Stages, m.peak)
	return m
}

// registry serves a registry of the host that ends with the test, and returns
// its port, which boards reach at boardrig.Host.
func registry(t *testing.T) int {
	t.Helper()
	port := rig.FreePort(t)
	rig.Start(t, rig.Binary, "registry", "serve", "--quiet", "--addr", fmt.Sprintf("127.0.0.1:%d", port), "--root", t.TempDir())
	rig.WaitFor(t, 20*time.Second, "the registry", func() bool {
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/v2/", port))
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
	return port
}
