package builder

import (
	"context"

	"github.com/riscv-build/riscv-build/builder/debian"
	"github.com/riscv-build/riscv-build/builder/outdated"
)

// Outdated finds out what is newer than what recipes are locked to. The
// archive is opened once for all that use the same one.
func (b *Builder) Outdated(ctx context.Context, requests []Request) (*outdated.Report, error) {
	all := make([]outdated.Recipe, 0, len(requests))
	opened := &archives{b: b}
	for _, req := range requests {
		l, text, err := b.readLock(req.LockPath)
		if err != nil {
			return nil, err
		}
		if own, ok := b.replacement(req, text); ok {
			l = own
		}
		r := outdated.Recipe{Recipe: req.Recipe, Archive: func(ctx context.Context) (*debian.Index, error) { return opened.open(ctx, req) }}
		if _, ok := l.Recipe(req.Recipe.Name); ok {
			r.Lock = l
		}
		for _, w := range wants(req.Recipe) {
			r.Sets = append(r.Sets, outdated.Set{Name: w.set, Arch: w.arch, Alone: w.alone})
		}
		if req.Recipe.Base() != nil {
			r.Sets = append(r.Sets, outdated.Set{Name: baseSet(req.Recipe), Arch: "riscv64"})
		}
		all = append(all, r)
	}
	pages := &outdated.WebPages{Client: b.cfg.Fetch.Client, UserAgent: b.cfg.Fetch.UserAgent}
	return outdated.Find(ctx, all, pages, b.moduleClient()), nil
}
