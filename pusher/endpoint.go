package pusher

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"
	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/retry"
)

// probeTime bounds finding out how a registry is spoken to.
const probeTime = 15 * time.Second

// endpoint is the connection to one registry.
type endpoint struct {
	host   string
	plain  bool
	probed bool // plain because a probe found it so, not because the user said it
	client remote.Client
	bare   remote.Client // sends no credentials

	mu    sync.Mutex
	known map[digest.Digest]map[string]bool // repositories that hold a blob
	busy  map[digest.Digest]chan struct{}   // closed when the upload that holds the digest ends
}

// connect decides how the registry is spoken to: as the name says, then the
// configuration, then what a probe finds.
func (p *Pusher) connect(ctx context.Context, ref reference) (*endpoint, error) {
	cfg := p.opt.Registries[ref.host]
	tlsConfig, err := cfg.tls(certDirs(p.opt.CertDirs, ref.host))
	if err != nil {
		return nil, &Error{Op: "connecting", Registry: ref.host, Err: err, Advice: "correct the settings of this registry"}
	}
	ep := &endpoint{
		host:  ref.host,
		known: map[digest.Digest]map[string]bool{},
		busy:  map[digest.Digest]chan struct{}{},
	}
	switch {
	case ref.scheme != "":
		ep.plain = ref.scheme == "http://"
	case cfg.PlainHTTP:
		ep.plain = true
	default:
		ep.plain = p.refusesTLS(ctx, ref.host, tlsConfig)
		ep.probed = ep.plain
	}
	transport := p.transport(tlsConfig)
	if ep.probed {
		p.notice("registry %q refuses TLS and its address is local: speaking plain HTTP with it; write http://%s to say so yourself", ref.host, ref.host)
		transport.Proxy = nil
		transport.DialContext = localDialer().DialContext
	}
	bare := &http.Client{Transport: repeated{&retry.Transport{Base: &patience{transport, p.opt.Stall}, Policy: p.policy}}}
	account := &auth.Client{
		Client:     bare,
		Cache:      auth.NewCache(),
		Credential: p.credential(ep),
	}
	account.SetUserAgent(p.opt.UserAgent)
	ep.client, ep.bare = account, bare
	return ep, nil
}

// repository gives oras-go's view of a repository.
func (ep *endpoint) repository(name string) *remote.Repository {
	return &remote.Repository{
		Client:    ep.client,
		PlainHTTP: ep.plain,
		Reference: registry.Reference{Registry: ep.host, Repository: name},
	}
}

func (p *Pusher) transport(tlsConfig *tls.Config) *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:     tlsConfig,
		TLSHandshakeTimeout: 15 * time.Second,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: p.opt.Parallel,
		IdleConnTimeout:     30 * time.Second,
	}
}

// refusesTLS says whether the registry is to be spoken to in plain HTTP: every
// address its name resolves to is local, it does not speak TLS, and a registry
// answers in plain HTTP. A bad certificate is no refusal.
func (p *Pusher) refusesTLS(ctx context.Context, host string, tlsConfig *tls.Config) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	if proxied(host) || !localHost(ctx, host) {
		return false
	}
	transport := p.transport(tlsConfig)
	transport.Proxy = nil
	transport.DialContext = localDialer().DialContext
	defer transport.CloseIdleConnections()
	_, err := ping(ctx, transport, "https://"+host)
	if err == nil || !speaksNoTLS(err, host) {
		return false
	}
	status, err := ping(ctx, transport, "http://"+host)
	return err == nil && (status == http.StatusOK || status == http.StatusUnauthorized)
}

// ping asks for the root of the registry's interface. No redirect is followed.
func ping(ctx context.Context, rt http.RoundTripper, base string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/v2/", nil)
	if err != nil {
		return 0, err
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode, nil
}

// speaksNoTLS says whether the error of a TLS connection means that something
// else is spoken there: an HTTP answer, a hang-up, or, where no port is
// written, nothing on port 443.
func speaksNoTLS(err error, host string) bool {
	var record tls.RecordHeaderError
	if errors.Is(err, http.ErrSchemeMismatch) || errors.As(err, &record) ||
		errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return true
	}
	_, _, splitErr := net.SplitHostPort(host)
	return splitErr != nil && errors.Is(err, syscall.ECONNREFUSED)
}

// proxied says whether requests to the registry go through a proxy: then the
// name's addresses are the proxy's business.
func proxied(host string) bool {
	req, err := http.NewRequest(http.MethodGet, "https://"+host+"/v2/", nil)
	if err != nil {
		return false
	}
	via, err := http.ProxyFromEnvironment(req)
	return err == nil && via != nil
}

// localHost says whether all addresses of a host are local.
func localHost(ctx context.Context, host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	} else if len(host) > 1 && host[0] == '[' {
		name = host[1 : len(host)-1]
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	if err != nil || len(addrs) == 0 {
		return false
	}
	for _, a := range addrs {
		if !isLocal(a) {
			return false
		}
	}
	return true
}

// isLocal is loopback, RFC 1918, fc00::/7 and link-local.
func isLocal(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast()
}

// localDialer connects to local addresses only, so that a name which resolves
// anew cannot lead a plain connection elsewhere.
func localDialer() *net.Dialer {
	return &net.Dialer{
		Timeout: 15 * time.Second, KeepAlive: 30 * time.Second,
		Control: func(_, address string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(address)
			if err != nil || !isLocal(at.Addr()) {
				return fmt.Errorf("address %q is not local: plain HTTP is not spoken with it", address)
			}
			return nil
		},
	}
}
