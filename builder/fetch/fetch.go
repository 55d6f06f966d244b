package fetch

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
)

// Blob is a file named by its digest and where it may be found.
type Blob struct {
	Name   string // for people: a package file name
	Digest digest.Digest
	Size   int64    // bytes; 0: unknown
	URLs   []string // http or https, tried in this order
	// More gives further addresses once no URL gave the blob: a last resort
	// such as a snapshot service. May be nil.
	More func(context.Context) ([]string, error)
	// Make writes the blob where no server has it as a file; URLs and More do
	// not count then. May be nil.
	Make Maker
}

// Options says how Fetch downloads. The zero value is usable.
type Options struct {
	Parallel  int           // blobs at a time; default 6
	Offline   bool          // download nothing: a missing blob is an *OfflineError
	Stall     time.Duration // give a connection up when no byte came for so long; default 30s
	Rounds    int           // how often every address is tried; default 4
	Backoff   time.Duration // wait after the first round, doubled after each, with jitter; default 500ms
	Progress  Progress      // nil: none
	Client    *http.Client  // default: one that honours the proxy environment
	UserAgent string        // default "riscv-build"
}

// Progress hears about downloads. It is called from several goroutines and
// must not block.
type Progress interface {
	Fetching(Event)
}

// Event is the state of one download.
type Event struct {
	Name   string
	Digest digest.Digest
	Done   int64  // bytes that have arrived, those of an earlier run included
	Total  int64  // bytes; 0: unknown
	URL    string // where they come from
	Notice string // something worth telling: an address that failed, a mirror that lied
	Ended  bool   // the blob is verified and stored
}

// Stats is what a Fetch did.
type Stats struct {
	Downloaded int64 // bytes that came over the network, thrown away ones included
	Blobs      int   // blobs downloaded
	Cached     int   // blobs that were there
}

// Fetch makes sure that every blob is in the store. Blobs are downloaded in
// parallel, verified before they are stored, and resumed where an earlier
// attempt ended.
//
// Its errors are *OfflineError, *SpaceError, *NetworkError and those of Makers
// (which end the other downloads), *ChangedError, *GoneError (after all others are done, naming all that are
// gone) and the context's.
func (s *Store) Fetch(ctx context.Context, blobs []Blob, opt Options) (Stats, error) {
	todo, stats, err := s.missing(ctx, blobs)
	if err != nil || len(todo) == 0 {
		return stats, err
	}
	if opt.Offline {
		return stats, &OfflineError{Missing: todo}
	}
	if err := s.room(todo); err != nil {
		return stats, err
	}
	d := newDownloader(s, opt)
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(d.opt.Parallel)
	for _, b := range todo {
		group.Go(func() error { return d.blob(gctx, b) })
	}
	err = group.Wait()
	stats.Downloaded, stats.Blobs = d.bytes.Load(), int(d.blobs.Load())
	if cause := ctx.Err(); cause != nil && err != nil {
		return stats, fmt.Errorf("downloading: %w", cause)
	}
	if err == nil && len(d.gone.Blobs) > 0 {
		slices.SortFunc(d.gone.Blobs, func(a, b Blob) int { return cmp.Compare(a.Name, b.Name) })
		err = &d.gone
	}
	return stats, err
}

// missing gives the blobs to download, each digest once, the largest first so
// that the end of a run is not one long download.
func (s *Store) missing(ctx context.Context, blobs []Blob) ([]Blob, Stats, error) {
	var (
		todo  []Blob
		stats Stats
		seen  = map[digest.Digest]bool{}
	)
	for _, b := range blobs {
		if err := b.Digest.Validate(); err != nil {
			return nil, stats, fmt.Errorf("downloading %q: digest %q: %w: write it as sha256:HEX", b.Name, b.Digest, err)
		}
		if seen[b.Digest] {
			continue
		}
		seen[b.Digest] = true
		if s.whole(ctx, b) {
			stats.Cached++
			continue
		}
		todo = append(todo, b)
	}
	slices.SortStableFunc(todo, func(a, b Blob) int { return cmp.Compare(b.Size, a.Size) })
	return todo, stats, nil
}

// whole says whether the blob is in the store. A file of another size than the
// lock's was damaged after it was stored (SD cards do that): it is removed.
func (s *Store) whole(ctx context.Context, b Blob) bool {
	fi, ok := s.stat(b.Digest)
	if ok && b.Size > 0 && fi.Size() != b.Size {
		return os.Remove(s.path(b.Digest)) != nil
	}
	return ok && s.Has(ctx, b.Digest)
}

// room refuses a download that cannot fit, before it fills the disk.
func (s *Store) room(todo []Blob) error {
	var need int64
	for _, b := range todo {
		need += b.Size
	}
	if statuses, err := s.content.ListStatuses(context.Background()); err == nil {
		for _, st := range statuses {
			if i := slices.IndexFunc(todo, func(b Blob) bool { return st.Ref == refDownload+b.Digest.String() }); i >= 0 {
				need -= min(st.Offset, todo[i].Size)
			}
		}
	}
	free := freeBytes(s.dir)
	if free < 0 || need <= free {
		return nil
	}
	return &SpaceError{Dir: s.dir, Name: fmt.Sprintf("%d downloads", len(todo)), Need: need, Free: free}
}

// claim waits until no other download of the digest runs, then holds it.
func (s *Store) claim(ctx context.Context, dgst digest.Digest) (release func(), err error) {
	for {
		s.mu.Lock()
		other, taken := s.busy[dgst]
		if !taken {
			mine := make(chan struct{})
			s.busy[dgst] = mine
			s.mu.Unlock()
			return func() {
				s.mu.Lock()
				delete(s.busy, dgst)
				s.mu.Unlock()
				close(mine)
			}, nil
		}
		s.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// hosts remembers which servers failed, so that one dead mirror does not cost
// every blob its timeout.
type hosts struct {
	mu     sync.Mutex
	failed map[string]int
}

func (h *hosts) fail(url string) {
	h.mu.Lock()
	h.failed[hostOf(url)]++
	h.mu.Unlock()
}

func (h *hosts) well(url string) {
	h.mu.Lock()
	delete(h.failed, hostOf(url))
	h.mu.Unlock()
}

// order puts addresses whose server has failed behind the others.
func (h *hosts) order(urls []string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := slices.Clone(urls)
	slices.SortStableFunc(out, func(a, b string) int {
		return cmp.Compare(min(h.failed[hostOf(a)], 1), min(h.failed[hostOf(b)], 1))
	})
	return out
}

func hostOf(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	host, _, _ := strings.Cut(rest, "/")
	return host
}
