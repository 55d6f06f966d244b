package buildkit

import (
	"context"
	"encoding/json"
	"fmt"

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

// Solve solves the job's graph. A command of the graph that fails is an
// *engine.ExecError.
func (d *Driver) Solve(ctx context.Context, job engine.Job) error {
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
	opt := client.SolveOpt{Internal: true, FrontendAttrs: map[string]string{"platform": platforms.Format(Target)}}
	if job.Store != nil {
		opt.OCIStores = d.stores(job.Store)
	}
	if len(job.Secrets) > 0 {
		opt.Session = []session.Attachable{secretsprovider.FromMap(job.Secrets)}
	}
	var out *output
	if job.Output != "" {
		var err error
		if out, err = openOutput(job.Output, job.Store); err != nil {
			return err
		}
		opt.Exports = []client.ExportEntry{layoutExport(out)}
	}
	watch := newWatcher(job.Progress)
	res, err := d.client.Build(ctx, opt, product, buildFunc(def), watch.statuses)
	watch.wait()
	if err != nil {
		return d.explain(ctx, job.Name, err, watch)
	}
	if out != nil {
		return out.finish(res)
	}
	return nil
}

// layoutExport asks for an OCI layout with uncompressed layers: compression
// would be that of the Go release that built the engine.
func layoutExport(to *output) client.ExportEntry {
	return client.ExportEntry{
		Type:        client.ExporterOCI,
		OutputStore: to,
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
		id := Target.OS + "/" + Target.Architecture
		platforms, err := json.Marshal(exptypes.Platforms{Platforms: []exptypes.Platform{{ID: id, Platform: Target}}})
		if err != nil {
			return nil, err
		}
		config, err := json.Marshal(ocispec.Image{Platform: Target, RootFS: ocispec.RootFS{Type: "layers"}})
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
func (d *Driver) explain(ctx context.Context, name string, err error, watch *watcher) error {
	if ctx.Err() != nil {
		return fmt.Errorf("building %q: %w", name, context.Cause(ctx))
	}
	failed := watch.execError(err)
	if known := d.place.Explain(err, failed); known != nil {
		return fmt.Errorf("building %q: %w", name, known)
	}
	if failed != nil {
		return fmt.Errorf("building %q: %w", name, failed)
	}
	return fmt.Errorf("solving the graph of %q: %w: if it stays, run it with --debug or clear the cache with `riscv-build cache prune`", name, err)
}
