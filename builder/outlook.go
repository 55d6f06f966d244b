package builder

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
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
	l, why, err := b.goodLock(req)
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
	out := Outlook{Inputs: b.inputs(p)}
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
	low, err := p.packages(st.shared)
	if err != nil {
		return nil, err
	}
	all, err := p.packages(st.own)
	if err != nil {
		return nil, err
	}
	var uses []LayerUse
	for i, s := range stacked(low, all, st.spec) {
		u := LayerUse{Key: layerKey(s), Name: st.shared, Packages: len(s.Packages)}
		if i > 0 {
			u.Name = st.own
		}
		for _, pkg := range s.Packages {
			u.Bytes += pkg.Size
		}
		var l rootLayer
		u.Stands = b.cache.get(u.Key, &l) && b.has(ctx, l.Layer.Desc.Digest, l.Contents)
		uses = append(uses, u)
	}
	return uses, nil
}

// Inputs is a digest of all that decides what a build of the request gives: the
// recipe, its files, what the lock has for it, and this program. It is "" where
// packages would be resolved first.
func (b *Builder) Inputs(req Request) string {
	l, _, err := b.goodLock(req)
	if err != nil || l == nil {
		return ""
	}
	return b.inputs(&plan{req: req, lock: l})
}

func (b *Builder) inputs(p *plan) string {
	r := p.req.Recipe
	sum := sha256.New()
	io.WriteString(sum, r.InputDigest(b.cfg.Version)) //nolint:errcheck // a hash returns no error
	locked, _ := p.lock.Recipe(r.Name)
	parts := []any{p.req.Mode, locked}
	for _, w := range wants(r) {
		set, _ := p.lock.Set(w.set)
		parts = append(parts, set)
		for _, id := range set.Packages {
			pkg, _ := p.lock.Package(id)
			parts = append(parts, pkg.SHA256)
		}
	}
	_ = json.NewEncoder(sum).Encode(parts) // no part can fail
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
}
