package remote

import (
	"context"
	"fmt"
	"slices"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/util/grpcerrors"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/riscv-build/riscv-build/builder/engine"
	"github.com/riscv-build/riscv-build/builder/engine/buildkit"
	"google.golang.org/grpc/codes"
)

// The oldest BuildKit that solves the graphs: v0.12.
const (
	oldestMajor = 0
	oldestMinor = 12
)

// worker is what builds on the other side.
type worker struct {
	id        string
	name      string // "runc", "containerd"
	version   string // of BuildKit; "" if it does not say
	platforms []ocispec.Platform
	emulator  string // identity of what runs riscv64 code; "" if nothing does
}

// askWorker asks a BuildKit what it is.
func askWorker(ctx context.Context, c *client.Client) (worker, error) {
	var w worker
	info, err := c.Info(ctx)
	switch {
	case grpcerrors.Code(err) == codes.Unimplemented:
		return w, tooOld("older than v0.11")
	case err != nil:
		return w, err
	}
	if w.version = info.BuildkitVersion.Version; old(w.version) {
		return w, tooOld(w.version)
	}
	all, err := c.ListWorkers(ctx)
	if err != nil {
		return w, err
	}
	if len(all) == 0 || len(all[0].Platforms) == 0 {
		return w, &engine.EnvironmentError{What: "the engine has nothing that builds: its BuildKit lists no worker", Do: "see what it says when it starts"}
	}
	first := all[0] // the one that builds where nobody chooses
	w.id, w.platforms = first.ID, first.Platforms
	w.name = workerName(first.Labels)
	w.emulator = emulator(first, w.version)
	return w, nil
}

func tooOld(version string) error {
	return &engine.EnvironmentError{
		What: fmt.Sprintf("the engine's BuildKit is %s, and the graphs need v%d.%d", version, oldestMajor, oldestMinor),
		Do:   "use a newer one (docker 24 or newer has one), or `riscv-build engine serve`",
	}
}

// old tells whether a version is too old. What is no version, as of a BuildKit
// that somebody compiled, is taken for a new one.
func old(version string) bool {
	var major, minor int
	if _, err := fmt.Sscanf(version, "v%d.%d.", &major, &minor); err != nil || major == 0 && minor == 0 {
		return false
	}
	return major < oldestMajor || major == oldestMajor && minor < oldestMinor
}

func workerName(labels map[string]string) string {
	switch name := labels["org.mobyproject.buildkit.worker.executor"]; name {
	case "oci":
		return "runc"
	case "":
		return "buildkit"
	default:
		return name
	}
}

// emulator names what runs riscv64 programs of a worker. One of this program
// says it; of another no more can be known than which it is.
func emulator(w *client.WorkerInfo, version string) string {
	if known := w.Labels[buildkit.EmulatorLabel]; known != "" {
		return known
	}
	runs := func(p ocispec.Platform) bool {
		return p.OS == buildkit.Target.OS && p.Architecture == buildkit.Target.Architecture
	}
	if !slices.ContainsFunc(w.Platforms, runs) {
		return ""
	}
	return fmt.Sprintf("buildkit %s, worker %s", version, w.ID)
}
