//go:build linux

package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/moby/buildkit/solver/pb"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/riscv-build/riscv-build/builder/engine"
)

// product names this client in BuildKit's protocol.
const product = "riscv-build"

// target is the platform of every image that is built.
var target = ocispec.Platform{OS: "linux", Architecture: "riscv64"}

// Solve solves the job's graph. A command of the graph that fails is an
// *engine.ExecError, a full file system an *engine.SpaceError.
func (e *Engine) Solve(ctx context.Context, job engine.Job) error {
	def := new(pb.Definition)
	if err := def.UnmarshalVT(job.Definition); err != nil {
		return fmt.Errorf("reading the graph of %q: %w: this is a bug of riscv-build", job.Name, err)
	}
	if job.NoCache {
		if err := ignoreCache(def); err != nil {
			return fmt.Errorf("reading the graph of %q: %w: this is a bug of riscv-build", job.Name, err)
		}
	}
	// The attribute keeps BuildKit from warning that the result is not for this machine.
	opt := client.SolveOpt{Internal: true, FrontendAttrs: map[string]string{"platform": platforms.Format(target)}}
	if job.Store != nil {
		opt.OCIStores = map[string]content.Store{engine.StoreName: job.Store}
	}
	if len(job.Secrets) > 0 {
		opt.Session = []session.Attachable{secretsprovider.FromMap(job.Secrets)}
	}
	if job.Output != "" {
		if err := os.MkdirAll(job.Output, 0o755); err != nil {
			return fmt.Errorf("making output directory %q: %w", job.Output, err)
		}
		opt.Exports = []client.ExportEntry{layoutExport(job.Output)}
	}
	e.used.Store(true)

	started := time.Now()
	watch := newWatcher(job.Progress)
	_, err := e.daemon.client.Build(ctx, opt, product, buildFunc(def), watch.statuses)
	watch.wait()
	if err == nil {
		return nil
	}
	err = e.explain(ctx, job.Name, err, watch)
	if errors.As(err, new(*engine.ExecError)) {
		e.discard(def, started)
	}
	return err
}

// layoutExport asks for an OCI layout with uncompressed layers: compression
// would be that of the Go release that built the engine.
func layoutExport(dir string) client.ExportEntry {
	return client.ExportEntry{
		Type:      client.ExporterOCI,
		OutputDir: dir,
		Attrs: map[string]string{
			"tar":               "false",
			"compression":       "uncompressed",
			"force-compression": "true",
			"oci-mediatypes":    "true",
			"source-date-epoch": "0", // of config and history, which the caller replaces
		},
	}
}

// buildFunc solves def as the one result, for the target platform. Plain Solve
// would take the platform of this machine.
func buildFunc(def *pb.Definition) gateway.BuildFunc {
	return func(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
		res, err := c.Solve(ctx, gateway.SolveRequest{Definition: def, Evaluate: true})
		if err != nil {
			return nil, err
		}
		id := target.OS + "/" + target.Architecture
		platforms, err := json.Marshal(exptypes.Platforms{Platforms: []exptypes.Platform{{ID: id, Platform: target}}})
		if err != nil {
			return nil, err
		}
		config, err := json.Marshal(ocispec.Image{Platform: target, RootFS: ocispec.RootFS{Type: "layers"}})
		if err != nil {
			return nil, err
		}
		ref, err := res.SingleRef()
		if err != nil {
			return nil, err
		}
		out := gateway.NewResult()
		out.SetRef(ref) // one result, not one per platform, gives a manifest without an index above it
		out.AddMeta(exptypes.ExporterPlatformsKey, platforms)
		out.AddMeta(exptypes.ExporterImageConfigKey, config)
		return out, nil
	}
}

// ignoreCache marks everything that is executed or derived to be done again.
// Sources are pinned by digest: fetching them again would give the same.
func ignoreCache(def *pb.Definition) error {
	if def.Metadata == nil {
		def.Metadata = map[string]*pb.OpMetadata{}
	}
	for _, bytes := range def.Def {
		var op pb.Op
		if err := op.UnmarshalVT(bytes); err != nil {
			return err
		}
		if op.GetSource() != nil {
			continue
		}
		key := string(digestOf(bytes))
		if def.Metadata[key] == nil {
			def.Metadata[key] = &pb.OpMetadata{}
		}
		def.Metadata[key].IgnoreCache = true
	}
	return nil
}

// explain turns BuildKit's error into the contract's.
func (e *Engine) explain(ctx context.Context, name string, err error, watch *watcher) error {
	if ctx.Err() != nil {
		return fmt.Errorf("building %q: %w", name, context.Cause(ctx))
	}
	if lost := e.lost(err); lost != nil {
		return fmt.Errorf("building %q: %w", name, lost)
	}
	failed := watch.execError(err)
	if failed != nil {
		err = failed
	}
	if space := asSpaceError(e.opts.Root, err); errors.As(space, new(*engine.SpaceError)) {
		return fmt.Errorf("building %q: %w", name, space)
	}
	if failed != nil {
		return fmt.Errorf("building %q: %w", name, failed)
	}
	return fmt.Errorf("solving the graph of %q: %w: if it stays, run it with --debug or clear the cache with `riscv-build cache prune`", name, err)
}

// lost tells whether the backend has gone, and remembers it.
func (e *Engine) lost(err error) error {
	lost := e.backend.lost(err)
	if lost != nil {
		e.broken.Store(true)
	}
	return lost
}
