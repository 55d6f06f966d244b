package builder

import (
	"context"
)

// Outlook is what is known of a build before anything is downloaded or made.
type Outlook struct {
	Inputs string // digest of all that the lock and the recipe say; "" without a good lock
	Stale  string // why packages are to be resolved first; "" if the lock is good
	Layers []LayerUse
}

// LayerUse is a layer of packages that a build uses. Two uses with the same
// key are of the same layer.
type LayerUse struct {
	Key      string
	Name     string // of the set it is made of
	Packages int
	Bytes    int64 // of its packages
	Stands   bool  // it was assembled before
}

// Outlook tells what a build of the request stands on, without a network and
// without resolving packages.
func (b *Builder) Outlook(ctx context.Context, req Request) (Outlook, error) {
	if below, ok := baseRequest(req); ok {
		if o, err := b.Outlook(ctx, below); err != nil || o.Stale != "" {
			return Outlook{Stale: o.Stale}, err
		}
	}
	given, _, err := b.given(ctx, req) // resolves nothing: the base's lock is good
	if err != nil {
		return Outlook{}, err
	}
	l, why, err := b.goodLock(req, given)
	if err != nil || l == nil {
		return Outlook{Stale: why}, err
	}
	where, err := b.host(ctx)
	if err != nil {
		return Outlook{}, err
	}
	p, _, err := newPlan(req, l, where)
	if err != nil {
		return Outlook{}, err
	}
	out := Outlook{Inputs: b.Inputs(req)}
	for _, st := range p.stacks() {
		uses, err := b.layerUses(ctx, p, st)
		if err != nil {
			return Outlook{}, err
		}
		out.Layers = append(out.Layers, uses...)
	}
	return out, nil
}

func (b *Builder) layerUses(ctx context.Context, p *plan, st stackPlan) ([]LayerUse, error) {
	layers, err := p.layers(st)
	if err != nil {
		return nil, err
	}
	var uses []LayerUse
	for _, s := range layers {
		u := LayerUse{Key: layerKey(s.Spec), Name: s.set, Packages: len(s.Packages)}
		for _, pkg := range s.Packages {
			u.Bytes += pkg.Size
		}
		var l rootLayer
		u.Stands = b.cache.get(u.Key, &l) && b.has(ctx, l.Layer.Desc.Digest, l.Contents)
		uses = append(uses, u)
	}
	return uses, nil
}

// Inputs is the input digest of a request, which its image carries as
// InputsAnnotation. It is "" where packages would be resolved first.
func (b *Builder) Inputs(req Request) string {
	inputs, err := b.standingInputs(req)
	if err != nil {
		return ""
	}
	return inputs
}
