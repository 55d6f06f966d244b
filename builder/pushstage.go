package builder

import (
	"context"
	"fmt"
	"strings"

	"github.com/riscv-build/riscv-build/pusher"
)

// push sends the bytes that were checked, to every target, writes the output
// that was asked for, and loads the image into an engine of this machine.
func (b *Builder) push(ctx context.Context, p *plan, img *built, r *Result) error {
	rec := p.req.Recipe
	tags := p.req.tags()
	out := pusher.Image{Provider: b.store.Content(), Desc: img.desc}
	if p.req.Output != "" {
		if err := pusher.WriteLayout(ctx, out, references([]string{"riscv-build.local"}, rec.Push.Repository, tags), p.req.Output); err != nil {
			return fmt.Errorf("writing the image of recipe %q: %w", rec.Name, err)
		}
	}
	if refs := references(p.req.Push, rec.Push.Repository, tags); len(refs) > 0 {
		sent, err := b.send(ctx, p.req, out, refs)
		r.UploadedBlobs, r.UploadedBytes = sent.UploadedBlobs, sent.UploadedBytes
		if err != nil {
			return fmt.Errorf("pushing the image of recipe %q: %w", rec.Name, err)
		}
		r.Tags = refs
	}
	if p.req.Load == nil {
		return nil
	}
	loaded, err := p.req.Load.Load(ctx, out, localNames(r.Tags, rec.Push.Repository, tags))
	if err != nil {
		return fmt.Errorf("loading the image of recipe %q: %w", rec.Name, err)
	}
	r.Loaded = &loaded
	return nil
}

// send pushes the image to registries.
func (b *Builder) send(ctx context.Context, req Request, img pusher.Image, refs []string) (pusher.Result, error) {
	if req.Index {
		return b.cfg.Pusher.PushIndex(ctx, img, refs)
	}
	return b.cfg.Pusher.Push(ctx, img, refs)
}

// localNames are the names that an image is loaded under: those it has in
// registries, where it would be pulled from; of one in none, the recipe's own.
func localNames(pushed []string, repository string, tags []string) []string {
	var local []string
	for _, ref := range pushed {
		if _, name, ok := strings.Cut(ref, "://"); ok {
			ref = name
		}
		local = append(local, ref)
	}
	if len(local) > 0 {
		return local
	}
	for _, tag := range tags {
		local = append(local, repository+":"+tag)
	}
	return local
}
