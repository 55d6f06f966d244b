package fetch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
)

// maxRetryAfter bounds how long a server may make a run wait.
const maxRetryAfter = time.Minute

// downloader is one Fetch.
type downloader struct {
	store *Store
	opt   Options
	hosts hosts
	bytes atomic.Int64
	blobs atomic.Int64

	mu   sync.Mutex
	gone GoneError
}

func newDownloader(s *Store, opt Options) *downloader {
	if opt.Parallel <= 0 {
		opt.Parallel = 6
	}
	if opt.Stall <= 0 {
		opt.Stall = 30 * time.Second
	}
	if opt.Rounds <= 0 {
		opt.Rounds = 4
	}
	if opt.Backoff <= 0 {
		opt.Backoff = 500 * time.Millisecond
	}
	if opt.UserAgent == "" {
		opt.UserAgent = "riscv-build"
	}
	if opt.Client == nil {
		opt.Client = defaultClient(opt.Parallel)
	}
	return &downloader{
		store: s, opt: opt,
		hosts: hosts{failed: map[string]int{}},
		gone:  GoneError{Tried: map[digest.Digest][]Attempt{}},
	}
}

// defaultClient honours http_proxy and friends. Bodies have no time limit:
// the stall watch bounds them.
func defaultClient(parallel int) *http.Client {
	return &http.Client{Transport: &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: 15 * time.Second,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: parallel,
		IdleConnTimeout:     30 * time.Second,
	}}
}

// blob downloads one blob. A blob that is gone is noted, not returned: the
// other downloads go on.
func (d *downloader) blob(ctx context.Context, b Blob) error {
	release, err := d.store.claim(ctx, b.Digest)
	if err != nil {
		return err
	}
	defer release()
	if d.store.Has(ctx, b.Digest) {
		return nil // another Fetch was faster
	}
	if b.Make != nil {
		return d.makeBlob(ctx, b)
	}
	t, err := d.open(ctx, b)
	if err != nil {
		return d.store.storing(b.Name, b.Size, err)
	}
	tried, err := d.sources(ctx, t)
	closeErr := t.close(ctx)
	if err == nil {
		err = closeErr
	}
	var none *noSource
	switch {
	case err == nil:
		d.blobs.Add(1)
		d.tell(Event{Name: b.Name, Digest: b.Digest, Done: t.offset, Total: t.offset, Ended: true})
		return nil
	case !errors.As(err, &none):
		return d.store.storing(b.Name, b.Size, err)
	case allGone(tried):
		d.mu.Lock()
		d.gone.Blobs = append(d.gone.Blobs, b)
		d.gone.Tried[b.Digest] = tried
		d.mu.Unlock()
		return nil
	}
	return &NetworkError{Blob: b, Tried: tried}
}

// noSource says that no address gave the blob; the attempts tell why.
type noSource struct{}

func (*noSource) Error() string { return "no address gave the blob" }

// sources tries the blob's addresses, then those of the last resort.
func (d *downloader) sources(ctx context.Context, t *transfer) ([]Attempt, error) {
	if ok, err := t.finished(ctx); ok || err != nil {
		return nil, err
	}
	tried, err := d.rounds(ctx, t, t.blob.URLs)
	var none *noSource
	if t.blob.More == nil || !errors.As(err, &none) {
		return tried, err
	}
	urls, moreErr := t.blob.More(ctx)
	if ctx.Err() != nil {
		return tried, ctx.Err()
	}
	if moreErr != nil {
		return append(tried, Attempt{"further addresses", moreErr}), err
	}
	urls = slices.DeleteFunc(slices.Clone(urls), func(u string) bool { return slices.Contains(t.blob.URLs, u) })
	again, err := d.rounds(ctx, t, urls)
	return append(tried, again...), err
}

// rounds tries every address, waits, and tries those again that may recover.
func (d *downloader) rounds(ctx context.Context, t *transfer, urls []string) ([]Attempt, error) {
	last := map[string]error{}
	alive := slices.Clone(urls)
	for round := 0; len(alive) > 0 && round < d.opt.Rounds; round++ {
		if round > 0 {
			if err := d.wait(ctx, round, last); err != nil {
				return nil, err
			}
		}
		var next []string
		for _, u := range d.hosts.order(alive) {
			err := d.persist(ctx, t, u)
			var c *cause
			switch {
			case err == nil:
				return nil, nil
			case !errors.As(err, &c):
				return nil, err // the disk or the caller, not the server
			case c.kind == passing:
				next = append(next, u)
				d.hosts.fail(u)
			}
			last[u] = c
			d.tell(Event{Name: t.blob.Name, Digest: t.blob.Digest, Done: t.offset, Total: t.blob.Size, URL: u, Notice: c.Error()})
		}
		alive = next
	}
	var tried []Attempt
	for _, u := range urls {
		tried = append(tried, Attempt{u, last[u]})
	}
	return tried, &noSource{}
}

// persist reads from one address, resuming as long as that brings new bytes.
func (d *downloader) persist(ctx context.Context, t *transfer, url string) error {
	furthest := t.offset
	for {
		err := t.attempt(ctx, url)
		if err == nil {
			d.hosts.well(url)
			return nil
		}
		var c *cause
		if !errors.As(err, &c) || c.kind != passing || t.offset < furthest+minGain {
			return err
		}
		furthest = t.offset
	}
}

// wait sleeps before a round: with growing time and jitter, and as long as the
// servers asked for.
func (d *downloader) wait(ctx context.Context, round int, last map[string]error) error {
	var asked time.Duration
	for _, err := range last {
		var c *cause
		if errors.As(err, &c) && c.kind == passing {
			asked = max(asked, min(c.retryAfter, maxRetryAfter))
		}
	}
	return Pause(ctx, d.opt.Backoff<<min(round-1, 6), asked)
}

// Pause waits for half a backoff to one and a half, so that clients that failed
// together do not come back together, and at least as long as they were asked to.
// The error is that of a context that ends before.
func Pause(ctx context.Context, backoff, atLeast time.Duration) error {
	timer := time.NewTimer(max(backoff/2+rand.N(backoff), atLeast))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *downloader) tell(e Event) {
	if d.opt.Progress != nil {
		d.opt.Progress.Fetching(e)
	}
}

// allGone says whether every address answered that the file does not exist.
func allGone(tried []Attempt) bool {
	for _, a := range tried {
		var c *cause
		if !errors.As(a.Err, &c) || c.kind != gone {
			return false
		}
	}
	return len(tried) > 0
}

// kind says what a failed attempt means for the address.
type kind int

const (
	passing kind = iota // may work again: try later
	final               // will not give the blob
	gone                // says that the file does not exist
)

// cause is why an address did not give the blob.
type cause struct {
	kind       kind
	retryAfter time.Duration
	err        error
}

func (c *cause) Error() string { return c.err.Error() }
func (c *cause) Unwrap() error { return c.err }

func failf(k kind, format string, args ...any) *cause {
	return &cause{kind: k, err: fmt.Errorf(format, args...)}
}
