package pusher

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Image is an image manifest with a store that holds it, its config and its
// layers.
type Image struct {
	Provider content.Provider
	Desc     ocispec.Descriptor
}

// Options says how registries are reached. The zero value is usable.
type Options struct {
	Registries   map[string]Registry // by HOST[:PORT], as written in image names
	DockerConfig string              // config.json or its directory; default $DOCKER_CONFIG, then ~/.docker
	CertDirs     []string            // directories with HOST[:PORT]/*.crt, *.cert and *.key, as docker and podman have them
	UserAgent    string              // default "riscv-build"
	Parallel     int                 // blobs at a time; default 4
	Retries      int                 // further attempts of a request or upload; default 5
	Backoff      time.Duration       // wait before the first further attempt, doubled after each, with jitter; default 250ms
	Stall        time.Duration       // give a transfer up when nothing moved for so long; default 1m
	Progress     Progress            // nil: none
	Notice       func(string)        // hears what a user should know: plain HTTP was chosen; nil: nobody
}

// Registry is how one registry is spoken to. A scheme written in an image name
// goes before PlainHTTP.
type Registry struct {
	PlainHTTP   bool
	InsecureTLS bool   // any certificate is accepted
	CAFile      string // PEM certificates trusted besides the system's
	CertFile    string // PEM client certificate, with KeyFile
	KeyFile     string
}

// Progress hears about transfers. It is called from several goroutines and
// must not block.
type Progress interface {
	Pushing(Event)
}

// Event is the state of one blob on its way.
type Event struct {
	Registry   string
	Repository string
	Digest     digest.Digest
	Done       int64 // bytes
	Total      int64 // bytes
	State      State
}

// State says what is done with a blob.
type State string

// The states of a blob.
const (
	Sending  State = "sending"
	Sent     State = "sent"
	Exists   State = "exists"  // the repository had it
	Mounted  State = "mounted" // another repository of the registry had it
	Fetching State = "fetching"
	Fetched  State = "fetched"
)

// Pusher moves images. It remembers per registry how it is spoken to, its
// tokens, and which repository holds which blob. All methods may be called
// from several goroutines.
type Pusher struct {
	opt Options

	mu        sync.Mutex
	endpoints map[string]*pending
	accounts  func() (*accounts, error)
}

// pending is an endpoint that is being found out, once for all who ask.
type pending struct {
	done chan struct{}
	ep   *endpoint
	err  error
}

// New gives a Pusher. Nothing is read or asked until it is used.
func New(opt Options) *Pusher {
	if opt.UserAgent == "" {
		opt.UserAgent = "riscv-build"
	}
	if opt.Parallel <= 0 {
		opt.Parallel = 4
	}
	if opt.Retries <= 0 {
		opt.Retries = 5
	}
	if opt.Backoff <= 0 {
		opt.Backoff = 250 * time.Millisecond
	}
	if opt.Stall <= 0 {
		opt.Stall = time.Minute
	}
	path := opt.DockerConfig
	return &Pusher{
		opt:       opt,
		endpoints: map[string]*pending{},
		accounts:  sync.OnceValues(func() (*accounts, error) { return openAccounts(path) }),
	}
}

// endpoint gives the connection to a reference's registry, finding out how it
// is spoken to when it is used first. A failure is not remembered.
func (p *Pusher) endpoint(ctx context.Context, ref reference) (*endpoint, error) {
	key := ref.scheme + ref.host
	for {
		p.mu.Lock()
		pend := p.endpoints[key]
		if pend == nil {
			pend = &pending{done: make(chan struct{})}
			p.endpoints[key] = pend
			p.mu.Unlock()
			pend.ep, pend.err = p.connect(ctx, ref)
			if pend.err != nil {
				p.mu.Lock()
				delete(p.endpoints, key)
				p.mu.Unlock()
			}
			close(pend.done)
			return pend.ep, pend.err
		}
		p.mu.Unlock()
		select {
		case <-pend.done:
			if pend.err == nil {
				return pend.ep, nil
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (p *Pusher) notice(format string, args ...any) {
	if p.opt.Notice != nil {
		p.opt.Notice(fmt.Sprintf(format, args...))
	}
}

func (p *Pusher) tell(e Event) {
	if p.opt.Progress != nil {
		p.opt.Progress.Pushing(e)
	}
}

// tellEvery is how often a running transfer is reported.
const tellEvery = 100 * time.Millisecond

// telling reports how far a transfer is.
type telling struct {
	r    io.Reader
	done int64
	tell func(int64)
	last time.Time
}

func (t *telling) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.done += int64(n)
	if now := time.Now(); n > 0 && now.Sub(t.last) >= tellEvery {
		t.last = now
		t.tell(t.done)
	}
	return n, err
}

// configFile completes the path of a docker configuration.
func configFile(path string) string {
	if filepath.Ext(path) == ".json" {
		return path
	}
	return filepath.Join(path, "config.json")
}
