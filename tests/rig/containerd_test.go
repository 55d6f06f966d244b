package rig_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/riscv-build/riscv-build/tests/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }

const (
	image = "registry.example/tool:1"
	k3s   = "/run/k3s/containerd/containerd.sock"
)

// TestContainerd starts each release in each way, and has it run a container:
// shim and runc are proven, too.
func TestContainerd(t *testing.T) {
	archive := imageArchive(t)
	for _, suite := range []string{rig.Bookworm, rig.Trixie, rig.Forky} {
		t.Run(suite, func(t *testing.T) { drive(t, archive, rig.ContainerdOptions{Suite: suite}) })
		t.Run(suite+" as K3s has it", func(t *testing.T) {
			drive(t, archive, rig.ContainerdOptions{Suite: suite, CRI: true, At: k3s})
		})
	}
	if left := saying(sleeper); len(left) > 0 {
		t.Errorf("these outlive their containerd: %q", left)
	}
}

func drive(t *testing.T, archive string, opt rig.ContainerdOptions) {
	begin := time.Now()
	c := rig.StartContainerd(t, opt)
	t.Logf("containerd %s after %s", c.Version, time.Since(begin).Round(time.Millisecond))
	if said := c.MustCtr("version"); !strings.Contains(said, c.Version) {
		t.Errorf("the server is not %s:\n%s", c.Version, said)
	}
	c.MustCtr("-n", "k8s.io", "images", "import", archive)
	runs(t, c, "started")
	c.Restart()
	runs(t, c, "restarted")
	c.Kill()
	c.Start()
	runs(t, c, "killed")
	if seen := criSees(t, c); seen != opt.CRI {
		t.Errorf("the CRI sees the image: %v, want %v", seen, opt.CRI)
	}
	own(t, c, opt)
	// The end of the test has to end it, whether containerd helps or not.
	c.MustCtr("-n", "k8s.io", "run", "--detach", image, sleeper, "/tool", "sleep", sleeper)
	if len(saying(sleeper)) == 0 {
		t.Error("the container does not run")
	}
	if opt.CRI {
		c.Kill()
	}
}

// sleeper is a word that no other process of the machine has.
var sleeper = fmt.Sprintf("sleeper-%d", os.Getpid())

// saying gives the command lines of the machine that have a word.
func saying(word string) []string {
	var lines []string
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		if line, err := os.ReadFile(file); err == nil && bytes.Contains(line, []byte(word)) {
			lines = append(lines, string(bytes.ReplaceAll(line, []byte{0}, []byte(" "))))
		}
	}
	return lines
}

// runs holds that a container prints what it is told to.
func runs(t *testing.T, c *rig.Containerd, word string) {
	t.Helper()
	if out := c.MustCtr("-n", "k8s.io", "run", "--rm", image, word, "/tool", "print", word, ""); out != word {
		t.Errorf("the container printed %q, want %q", out, word)
	}
}

// criSees asks the image service that Kubernetes would ask.
func criSees(t *testing.T, c *rig.Containerd) bool {
	t.Helper()
	conn, err := grpc.NewClient("unix://"+c.Reach(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	is, err := cri.NewImageServiceClient(conn).ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: image}})
	return err == nil && is.Image != nil
}

// own holds that only the programs of a /run of its own find the socket there.
func own(t *testing.T, c *rig.Containerd, opt rig.ContainerdOptions) {
	t.Helper()
	look := func(r rig.Result) string { return strings.TrimSpace(r.Stdout) }
	inside, outside := look(c.Run(t.Context(), nil, "stat", "-c", "%i", c.Socket)), look(rig.Command(t.Context(), nil, "stat", "-c", "%i", c.Socket))
	if inside == "" || (inside == outside) != (opt.At == "") {
		t.Errorf("%s is %q in its own /run and %q in the machine's", c.Socket, inside, outside)
	}
}

// imageArchive writes an archive with an image for this machine, of the program
// that the engine's tests have, too.
func imageArchive(t *testing.T) string {
	t.Helper()
	tool := filepath.Join(t.TempDir(), "tool")
	build := exec.Command("go", "build", "-trimpath", "-o", tool, "./builder/engine/embedded/testdata/tool")
	build.Dir = rig.Root()
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("compiling the tests' tool: %v\n%s", err, out)
	}
	binary, err := os.ReadFile(tool)
	if err != nil {
		t.Fatal(err)
	}
	files := [][2]string{}
	blob := func(mediaType string, v any) ocispec.Descriptor {
		data, isBytes := v.([]byte)
		if !isBytes {
			data, _ = json.Marshal(v)
		}
		d := digest.FromBytes(data)
		files = append(files, [2]string{"blobs/sha256/" + d.Encoded(), string(data)})
		return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
	}
	root := archiveOf(t, [][2]string{{"tool", string(binary)}})
	layer := blob(ocispec.MediaTypeImageLayer, root)
	config := blob(ocispec.MediaTypeImageConfig, ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{layer.Digest}},
	})
	manifest := blob(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: config, Layers: []ocispec.Descriptor{layer},
	})
	manifest.Annotations = map[string]string{"io.containerd.image.name": image}
	index, _ := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []ocispec.Descriptor{manifest}})
	files = append(files, [2]string{ocispec.ImageIndexFile, string(index)},
		[2]string{ocispec.ImageLayoutFile, fmt.Sprintf(`{"imageLayoutVersion":%q}`, ocispec.ImageLayoutVersion)})
	name := filepath.Join(t.TempDir(), "image.tar")
	if err := os.WriteFile(name, archiveOf(t, files), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func archiveOf(t *testing.T, files [][2]string) []byte {
	t.Helper()
	var text bytes.Buffer
	w := tar.NewWriter(&text)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f[0], Mode: 0o755, Size: int64(len(f[1]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f[1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return text.Bytes()
}
