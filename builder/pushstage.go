package builder

import (
	"context"
	"fmt"

	"github.com/riscv-build/riscv-build/pusher"
)

// push sends the bytes that were checked, to every target, and writes the
// output that was asked for.
func (b *Builder) push(ctx context.Context, p *plan, img *built, r *Result) error {
	rec := p.req.Recipe
	tags := rec.Push.Tags
	if len(p.req.Tags) > 0 {
		tags = p.req.Tags
	}
	out := pusher.Image{Provider: b.store.Content(), Desc: img.desc}
	if p.req.Output != "" {
		if err := pusher.WriteLayout(ctx, out, references([]string{"riscv-build.local"}, rec.Push.Repository, tags), p.req.Output); err != nil {
			return fmt.Errorf("writing the image of recipe %q: %w", rec.Name, err)
		}
	}
	refs := references(p.req.Push, rec.Push.Repository, tags)
	if len(refs) == 0 {
		return nil
	}
	push := b.cfg.Pusher.Push
	if p.req.Index {
		push = b.cfg.Pusher.PushIndex
	}
	res, err := push(ctx, out, refs)
	r.UploadedBlobs, r.UploadedBytes = res.UploadedBlobs, res.UploadedBytes
	if err != nil {
		return fmt.Errorf("pushing the image of recipe %q: %w", rec.Name, err)
	}
	r.Tags = refs
	return nil
}
