package engine

import (
	"context"
	"time"
)

// Cache is what an engine with a build cache of its own offers beside Engine.
type Cache interface {
	// DiskUsage lists what the build cache holds.
	DiskUsage(ctx context.Context) (Usage, error)
	// Prune deletes what was longest unused until the cache holds at most
	// keep bytes (0: everything) and tells how many bytes it freed.
	Prune(ctx context.Context, keep int64) (freed int64, err error)
}

// Usage is the content of a build cache.
type Usage struct {
	Total   int64 // bytes
	Records []UsageRecord
}

// UsageRecord is one entry of a build cache.
type UsageRecord struct {
	Description string
	Size        int64 // bytes
	LastUsed    time.Time
	InUse       bool
}
