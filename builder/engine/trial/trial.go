// Package trial tries an engine out: it has it export a tree as a layout and
// run a tiny riscv64 program. It is for any engine, and knows none.
package trial

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/moby/buildkit/client/llb"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/riscv-build/riscv-build/builder/engine"
	"github.com/riscv-build/riscv-build/builder/host"
)

const (
	programName = "tiny"
	timeLimit   = time.Minute // of the program, which takes milliseconds
)

var target = ocispec.Platform{OS: "linux", Architecture: "riscv64"}

// Export has an engine make a tree and give it as a layout below dir.
func Export(ctx context.Context, e engine.Engine, dir string) error {
	tree := llb.Scratch().File(llb.Mkfile("/trial", 0o644, []byte("exported\n"), llb.WithCreatedTime(time.Unix(0, 0))))
	def, err := tree.Marshal(ctx, llb.Platform(target))
	if err != nil {
		return fmt.Errorf("making a graph to try: %w", err)
	}
	text, err := def.ToPB().MarshalVT()
	if err != nil {
		return fmt.Errorf("making a graph to try: %w", err)
	}
	out := filepath.Join(dir, "layout")
	if err := e.Solve(ctx, engine.Job{Name: "trial", Definition: text, Output: out}); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(out, ocispec.ImageIndexFile)); err != nil {
		return fmt.Errorf("reading what the engine exported: %w: it is of no use for builds", err)
	}
	return nil
}

// Run has an engine run a riscv64 program. dir is for its image.
func Run(ctx context.Context, e engine.Engine, dir string) error {
	store, err := local.NewStore(filepath.Join(dir, "content"))
	if err != nil {
		return fmt.Errorf("making an image to try: %w", err)
	}
	image, err := tinyImage(ctx, store)
	if err != nil {
		return fmt.Errorf("making an image to try: %w", err)
	}
	result, err := e.Run(ctx, engine.Run{
		Name: "trial", Image: image, Store: store, Args: []string{"/" + programName}, Cwd: "/", Timeout: timeLimit,
	})
	switch {
	case err != nil:
		return err
	case result.TimedOut:
		return fmt.Errorf("running a riscv64 program: it did not end within %s: the engine's QEMU does not work", timeLimit)
	case result.Exit != host.TinyStatus:
		return fmt.Errorf("running a riscv64 program: exit status %d instead of %d: %s: where it is not containers that fail, the engine's QEMU does not work: `riscv-build doctor --fix` there brings another",
			result.Exit, host.TinyStatus, strings.TrimSpace(string(result.Stderr)))
	}
	return nil
}

// tinyImage makes an image of the program alone.
func tinyImage(ctx context.Context, store content.Store) (ocispec.Descriptor, error) {
	program := host.TinyProgram()
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	err := w.WriteHeader(&tar.Header{Name: programName, Mode: 0o755, Size: int64(len(program)), ModTime: time.Unix(0, 0), Format: tar.FormatPAX})
	if err == nil {
		_, err = w.Write(program)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		return ocispec.Descriptor{}, err
	}
	blob, err := put(ctx, store, ocispec.MediaTypeImageLayer, layer.Bytes())
	if err != nil {
		return blob, err
	}
	config, err := putJSON(ctx, store, ocispec.MediaTypeImageConfig, ocispec.Image{
		Platform: target, RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{blob.Digest}},
	})
	if err != nil {
		return config, err
	}
	return putJSON(ctx, store, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: config, Layers: []ocispec.Descriptor{blob},
	})
}

func putJSON(ctx context.Context, store content.Store, mediaType string, v any) (ocispec.Descriptor, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return put(ctx, store, mediaType, text)
}

func put(ctx context.Context, store content.Store, mediaType string, data []byte) (ocispec.Descriptor, error) {
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	return desc, content.WriteBlob(ctx, store, desc.Digest.String(), bytes.NewReader(data), desc)
}
