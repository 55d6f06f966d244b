package remote

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/builder/image"
	"github.com/riscv-build/riscv-build/tests/rig"
)

// TestLineEngineF: buildctl solves the graph that is printed, with an engine that
// this program serves, and what comes out is the layer of the image.
func TestLineEngineF(t *testing.T) {
	c := newClient(t)
	config := c.config(t, c.build(t, "pause").Digest)
	graph := c.run("graph", "--format", "llb", "--offline", "pause")
	if graph.Code != 0 {
		t.Fatalf("printing the graph: %s", graph.Stderr)
	}
	s := serve(t)
	dir := filepath.Join(t.TempDir(), "out")
	program := rig.BuildClient(t, "buildctl", "github.com/moby/buildkit/cmd/buildctl")
	buildctl := func(stdin string, args ...string) {
		t.Helper()
		cmd := exec.Command(program, append([]string{"--addr", s.url(), "build", "--progress", "plain"}, args...)...)
		cmd.Stdin = strings.NewReader(stdin)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("buildctl: %v\n%s", err, rig.Tail(string(out), 30))
		}
	}
	buildctl(graph.Stdout, "--oci-layout", "riscv-build="+filepath.Join(c.dir, "content"),
		"--output", "type=oci,tar=false,oci-mediatypes=true,compression=uncompressed,force-compression=true,dest="+dir)
	// The layer of an image has the recipe's date, and what the recipe names.
	tree, err := image.Artifacts(t.Context(), dir, image.ArtifactOptions{Paths: []string{"/pause"}})
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	sum := digest.Canonical.Digester()
	if err := tree.Write(sum.Hash(), *config.Created); err != nil {
		t.Fatal(err)
	}
	if len(config.RootFS.DiffIDs) != 1 {
		t.Fatalf("the image has layers %v, want one", config.RootFS.DiffIDs)
	}
	want := config.RootFS.DiffIDs[0]
	byDockerfile(t, buildctl)
	rig.Figure{Line: "engine F", Got: "the layer by buildctl is " + sum.Digest().String(), Limit: want.String(), OK: sum.Digest() == want}.Report(t)
}

// byDockerfile has the engine build what buildx sends.
func byDockerfile(t *testing.T, buildctl func(stdin string, args ...string)) {
	t.Helper()
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
	for name, text := range map[string]string{"Dockerfile": "FROM scratch\nCOPY file /copied\n", "file": "text"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	buildctl("", "--frontend", "dockerfile.v0", "--local", "context="+dir, "--local", "dockerfile="+dir, "--output", "type=local,dest="+out)
	if text, err := os.ReadFile(filepath.Join(out, "copied")); err != nil || string(text) != "text" {
		t.Errorf("the Dockerfile gave %q, %v", text, err)
	}
}

// config reads the configuration of an image of the client.
func (c *client) config(t *testing.T, manifest string) ocispec.Image {
	t.Helper()
	var m ocispec.Manifest
	var config ocispec.Image
	c.read(t, manifest, &m)
	c.read(t, m.Config.Digest.String(), &config)
	return config
}

// read reads a document of the client's content store.
func (c *client) read(t *testing.T, digest string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(c.dir, "content", "blobs", strings.Replace(digest, ":", "/", 1)))
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatalf("reading %s: %v", digest, err)
	}
}
