// Package imagestore puts images into the container engine of this machine,
// containerd, Docker or podman, and runs them there. Each engine is a type with
// the same methods; which one to take, and what an image must fulfil before it
// is loaded, is for the caller to say. Registries are the business of package
// pusher, the finding of a containerd that of pusher/containerd.
package imagestore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	names "github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/pusher"
)

// Engines are the container engines, the one that is preferred first.
var Engines = []string{"containerd", "docker", "podman"}

// riscv64 is the platform of every image here. Engines on another machine must
// be told, or they take their own.
var riscv64 = ocispec.Platform{OS: "linux", Architecture: "riscv64"}

const platform = "linux/riscv64"

// Loaded says where an image is.
type Loaded struct {
	Engine    string   `json:"engine"` // one of Engines
	Into      string   `json:"into"`   // the engine with its address, as for people
	Names     []string `json:"names"`  // as they were asked for
	Unchanged bool     `json:"unchanged"`
}

// Error is an engine that did not do what was asked. Exit code 3, or 126 or
// 127 where the image's program does not start, as shells have it.
type Error struct {
	Op, Object string // "loading image", "riscv64/nginx:1.26"
	Engine     string
	Err        error
	Advice     string
}

// Error is one line: what was done with what, where, the cause, what to do.
func (e *Error) Error() string {
	text := fmt.Sprintf("%s %q in %s: %v", e.Op, e.Object, e.Engine, e.Err)
	if e.Advice != "" {
		text += ": " + e.Advice
	}
	return text
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// ExitCode is that of a machine that lacks something, if it is not the image
// whose program does not start.
func (e *Error) ExitCode() int {
	var s *startError
	if errors.As(e.Err, &s) {
		return s.status()
	}
	return 3
}

// CheckName says what is wrong with a name to load an image under,
// [HOST[:PORT]/]REPOSITORY[:TAG].
func CheckName(name string) error {
	_, err := tagged(name)
	return err
}

// Normal is a name in full, as containerd and Kubernetes have it:
// "docker.io/riscv64/nginx:1.26" for "riscv64/nginx:1.26".
func Normal(name string) (string, error) {
	n, err := names.ParseDockerRef(bare(name))
	if err != nil {
		return "", fmt.Errorf("reading image name %q: %w: write [HOST[:PORT]/]REPOSITORY[:TAG] in lower case", name, err)
	}
	return n.String(), nil
}

func tagged(name string) (names.NamedTagged, error) {
	n, err := names.ParseDockerRef(bare(name))
	if err != nil {
		return nil, fmt.Errorf("reading image name %q: %w: write [HOST[:PORT]/]REPOSITORY[:TAG] in lower case", name, err)
	}
	t, ok := n.(names.NamedTagged)
	if !ok {
		return nil, fmt.Errorf("reading image name %q: an image cannot be loaded under a digest: write a tag", name)
	}
	return t, nil
}

// bare is a name without the scheme that a push target may have.
func bare(name string) string {
	return strings.TrimPrefix(strings.TrimPrefix(name, "http://"), "https://")
}

// runRepository is where an image is named that is loaded for one run only; its
// tag is the owner.
const runRepository = "riscv-build.local/run"

// ForThisRun is the name of an image that is loaded for one run of this process.
// What a killed process has left under such a name, Sweep removes.
func ForThisRun() string { return runRepository + ":" + owner() }

func isForARun(name string) bool { return strings.HasPrefix(name, runRepository+":") }

// abandoned tells whether a name is of a run whose process is gone.
func abandoned(name string) bool {
	tag, ok := strings.CutPrefix(name, runRepository+":")
	return ok && gone(tag)
}

// Same tells whether an engine's ID of an image, as its method Has gives it, is
// that of img: engines call an image by its configuration or by its manifest.
func Same(ctx context.Context, img pusher.Image, id digest.Digest) bool {
	m, err := manifest(ctx, img)
	return err == nil && slices.Contains([]digest.Digest{m.Config.Digest, img.Desc.Digest}, id)
}

func manifest(ctx context.Context, img pusher.Image) (m ocispec.Manifest, err error) {
	raw, err := content.ReadBlob(ctx, img.Provider, img.Desc)
	if err == nil {
		err = json.Unmarshal(raw, &m)
	}
	if err != nil {
		return m, fmt.Errorf("reading manifest %q: %w: build the image again", img.Desc.Digest, err)
	}
	return m, nil
}

// loadedAll tells whether the store has the image under every name.
func loadedAll(ctx context.Context, img pusher.Image, list []string, has func(context.Context, string) (digest.Digest, error)) (bool, error) {
	for _, name := range list {
		id, err := has(ctx, name)
		if err != nil || id == "" || !Same(ctx, img, id) {
			return false, err
		}
	}
	return true, nil
}

// fail makes an Error, but for the end of the caller's context.
func fail(ctx context.Context, e Error) error {
	if e.Err == nil {
		return nil
	}
	if cause := ctx.Err(); cause != nil {
		return fmt.Errorf("%s %q in %s: %w", e.Op, e.Object, e.Engine, cause)
	}
	var already *Error
	if errors.As(e.Err, &already) {
		return e.Err
	}
	return &e
}
