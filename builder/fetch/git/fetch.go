package git

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/plumbing/transport"
	gitprotocol "github.com/go-git/go-git/v5/plumbing/transport/git"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"

	"github.com/riscv-build/riscv-build/builder/fetch"
)

// fetcher is one Write.
type fetcher struct {
	opt   Options
	http  transport.Transport
	bytes int64
}

func newFetcher(opt Options) *fetcher {
	opt.Stall = cmp.Or(opt.Stall, 30*time.Second)
	opt.Rounds = cmp.Or(opt.Rounds, 4)
	opt.Backoff = cmp.Or(opt.Backoff, 500*time.Millisecond)
	opt.Netrc = cmp.Or(opt.Netrc, defaultNetrc())
	client := &http.Client{Transport: &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout: 15 * time.Second,
		ForceAttemptHTTP2:   true,
		IdleConnTimeout:     30 * time.Second,
	}}
	if opt.Client != nil {
		given := *opt.Client
		client = &given
	}
	if client.Transport == nil {
		client.Transport = http.DefaultTransport
	}
	client.Transport = accounts{client.Transport, opt.Netrc}
	return &fetcher{opt: opt, http: githttp.NewClient(client)}
}

// gaveUp is the error about addresses that were tried.
func (f *fetcher) gaveUp(hash string, tried ...Attempt) error {
	return &Error{Name: f.opt.Name, Hash: hash, Tried: tried}
}

// obtain gets the objects of a commit from the first address that has them.
// Those that cannot be reached are tried again, with growing pauses.
func (f *fetcher) obtain(ctx context.Context, urls []string, hash string) (*repository, error) {
	tried := make([]Attempt, len(urls))
	for round := range f.opt.Rounds {
		again := false
		for i, u := range urls {
			if round > 0 && tried[i].Kind != Unreachable {
				continue
			}
			r, err := f.from(ctx, u, plumbing.NewHash(hash))
			if err == nil {
				return r, nil
			}
			var c *cause
			if mine := local(ctx, err); mine != nil {
				err = mine
			}
			if !errors.As(err, &c) {
				return nil, fmt.Errorf("fetching commit %s of %s: %w", hash, f.opt.Name, err)
			}
			tried[i] = Attempt{u, c.kind, c}
			again = again || c.kind == Unreachable
			f.tell(Event{URL: u, Notice: c.Error()})
		}
		if !again || round == f.opt.Rounds-1 {
			break
		}
		if err := fetch.Pause(ctx, f.opt.Backoff<<min(round, 6), 0); err != nil {
			return nil, fmt.Errorf("fetching commit %s of %s: %w", hash, f.opt.Name, err)
		}
	}
	return nil, f.gaveUp(hash, tried...)
}

func (f *fetcher) tell(e Event) {
	if f.opt.Progress != nil {
		e.Bytes = f.bytes
		f.opt.Progress(e)
	}
}

// from gets a commit from one address: the commit alone where the server
// allows that, else all branches and tags.
func (f *fetcher) from(ctx context.Context, address string, h plumbing.Hash) (*repository, error) {
	if strings.HasPrefix(address, "file://") {
		r, err := openLocal(address)
		if err != nil {
			return nil, err
		}
		return r, f.check(ctx, r, h)
	}
	dir, err := f.obtainDir()
	if err != nil {
		return nil, err
	}
	store := openRepository(dir)
	r := &repository{EncodedObjectStorer: store, url: address, dir: dir}
	alone, err := f.download(ctx, store, address, want{h, true})
	if err == nil && !alone {
		_, err = f.download(ctx, store, address, want{h, false})
	}
	if err != nil {
		r.close()
		return nil, err
	}
	return r, f.check(ctx, r, h)
}

// want is a commit: alone, or with all that branches and tags hold.
type want struct {
	hash  plumbing.Hash
	alone bool
}

// errStall is the reason why a conversation with a server is ended.
var errStall = errors.New("no byte came")

// download has one conversation with a server. It answers false, and has
// nothing, where the server does not give a commit alone.
func (f *fetcher) download(parent context.Context, store storer.Storer, address string, w want) (bool, error) {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	// Before the first byte a server counts what it is going to send.
	watch := time.AfterFunc(4*f.opt.Stall, func() { cancel(errStall) })
	defer watch.Stop()
	got, err := f.converse(ctx, store, address, conversation{w, watch})
	if err != nil && parent.Err() == nil && errors.Is(context.Cause(ctx), errStall) {
		return false, causef(Unreachable, "stalled: no byte came for a while")
	}
	return got, err
}

// conversation is what one asks a server for, and the watch over its answer.
type conversation struct {
	want  want
	watch *time.Timer
}

func (f *fetcher) converse(ctx context.Context, store storer.Storer, address string, c conversation) (bool, error) {
	session, err := f.session(address)
	if err != nil {
		return false, err
	}
	defer session.Close() //nolint:errcheck // what was to be read is read
	refs, err := session.AdvertisedReferencesContext(ctx)
	if err != nil {
		return false, orLocal(ctx, err, answered(err))
	}
	req := packp.NewUploadPackRequestFromCapabilities(refs.Capabilities)
	if c.want.alone && !request(req, refs, c.want.hash) {
		return false, nil
	}
	if !c.want.alone {
		req.Wants = branches(refs)
	}
	resp, err := session.UploadPack(ctx, req)
	if err != nil {
		if c.want.alone && refused(err) {
			return false, nil
		}
		return false, orLocal(ctx, err, answered(err))
	}
	defer resp.Close()
	body := &meter{r: resp, f: f, url: address, watch: c.watch}
	if err := packfile.UpdateObjectStorage(store, demultiplexed(req, body)); err != nil {
		if c.want.alone && refused(err) {
			return false, nil
		}
		return false, orLocal(ctx, err, causef(Unreachable, "receiving objects: %w", err))
	}
	return true, nil
}

// orLocal prefers an error of this machine or of the caller to the server's.
func orLocal(ctx context.Context, err error, c *cause) error {
	if mine := local(ctx, err); mine != nil {
		return mine
	}
	return c
}

func (f *fetcher) session(address string) (transport.UploadPackSession, error) {
	endpoint, err := transport.NewEndpoint(address)
	if err != nil {
		return nil, causef(NotRepository, "%w", err)
	}
	client := f.http
	switch endpoint.Protocol {
	case "ssh":
		client = gitssh.DefaultClient
	case "git":
		client = gitprotocol.DefaultClient
	case "http", "https":
	default:
		return nil, causef(NotRepository, "the scheme %q is not known", endpoint.Protocol)
	}
	session, err := client.NewUploadPackSession(endpoint, nil)
	if err != nil {
		return nil, answered(err)
	}
	return session, nil
}

// request asks for one commit without its history. Some servers give any, all
// give what a branch or tag points at: a tag, and with it its commit.
func request(req *packp.UploadPackRequest, refs *packp.AdvRefs, h plumbing.Hash) bool {
	if !refs.Capabilities.Supports(capability.Shallow) {
		return false
	}
	req.Wants = []plumbing.Hash{h}
	req.Depth = packp.DepthCommits(1)
	_ = req.Capabilities.Set(capability.Shallow) // has no arguments
	if refs.Capabilities.Supports(capability.AllowReachableSHA1InWant) || refs.Capabilities.Supports(capability.AllowTipSHA1InWant) {
		return true
	}
	for _, tip := range refs.References {
		if tip == h {
			return true
		}
	}
	for name, commit := range refs.Peeled {
		if commit == h {
			req.Wants[0] = refs.References[name]
			return true
		}
	}
	return false
}

// branches are the tips of all branches and tags, each once.
func branches(refs *packp.AdvRefs) []plumbing.Hash {
	seen := map[plumbing.Hash]bool{}
	var out []plumbing.Hash
	for name, tip := range refs.References {
		if !seen[tip] && (strings.HasPrefix(name, "refs/heads/") || strings.HasPrefix(name, "refs/tags/")) {
			seen[tip] = true
			out = append(out, tip)
		}
	}
	return out
}

// refused tells that a server does not give a commit that no branch points at.
func refused(err error) bool {
	return strings.Contains(err.Error(), "not our ref") || strings.Contains(err.Error(), "unadvertised object") || errors.Is(err, transport.ErrEmptyUploadPackRequest)
}

// notGit tells an answer that no git server gives.
func notGit(err error) bool {
	var data *packp.ErrUnexpectedData
	return errors.As(err, &data) || errors.Is(err, packp.ErrEmptyInput) || strings.Contains(err.Error(), "pkt-len")
}

// demultiplexed gives the objects alone: the server's progress is sent between them.
func demultiplexed(req *packp.UploadPackRequest, r io.Reader) io.Reader {
	switch {
	case req.Capabilities.Supports(capability.Sideband64k):
		return sideband.NewDemuxer(sideband.Sideband64k, r)
	case req.Capabilities.Supports(capability.Sideband):
		return sideband.NewDemuxer(sideband.Sideband, r)
	}
	return r
}

// meter counts what comes and puts the watch back.
type meter struct {
	r     io.Reader
	f     *fetcher
	url   string
	watch *time.Timer
	told  time.Time
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	if n > 0 {
		m.watch.Reset(m.f.opt.Stall)
		m.f.bytes += int64(n)
		if now := time.Now(); now.Sub(m.told) >= 100*time.Millisecond {
			m.told = now
			m.f.tell(Event{URL: m.url})
		}
	}
	return n, err
}
