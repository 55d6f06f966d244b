package main

import (
	"context"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder/fetch"
	"github.com/riscv-build/riscv-build/builder/host"
	"github.com/riscv-build/riscv-build/cmd/riscv-build/config"
)

// What the state may hold where nobody says it: a share of the disk, which
// leaves an SD card of 32 GB most of its space, in bounds between which the
// images of the catalogue can be built.
const (
	diskShare    = 4
	leastLimit   = 3e9 // bytes
	largestLimit = 20e9
	shrinkTime   = time.Minute
)

func limitFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "cache-limit", Usage: "let downloads, images and build cache take up to `SIZE`, such as 4GB; what was longest unused goes (default: a quarter of the disk, 3GB at least, 20GB at most)"},
	}
}

// cacheLimit is what all that is kept may take, in bytes: the flag's, the
// configuration's, or a share of the disk. Half is for the build cache.
func cacheLimit(flag string, p *place) (int64, error) {
	for _, text := range []string{flag, p.config.CacheLimit} {
		limit, err := config.Size(text)
		if err != nil {
			return 0, usageError{err}
		}
		if limit > 0 {
			return limit, nil
		}
	}
	size, err := host.DiskSize(p.stateDir)
	if err != nil {
		return 0, environmentError{err}
	}
	return min(max(size/diskShare, leastLimit), largestLimit), nil
}

// shrink deletes of downloads and images what was longest unused, down to half
// of the limit. The engine has done so with the build cache.
func (s *session) shrink() error {
	ctx, cancel := context.WithTimeout(context.Background(), shrinkTime)
	defer cancel()
	pruned, err := s.builder.Store().Prune(ctx, fetch.PruneOptions{Limit: s.limit / 2})
	if pruned.Blobs > 0 {
		s.display.Notice("kept within --cache-limit: %d downloads and images that were longest unused are deleted, %s", pruned.Blobs, megabytes(pruned.Bytes))
	}
	return err
}
