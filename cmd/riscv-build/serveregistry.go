package main

import (
	"context"
	"net"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/builder/check"
	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/pusher"
	"github.com/riscv-build/riscv-build/pusher/registry"
)

// shelf shows a registry's contents.
type shelf struct {
	host     string // as in references
	contents *pusher.Contents
	facts    check.Cache // of layers of images that were checked here

	mu  sync.Mutex
	isa map[digest.Digest]string // of images, as of the last list
}

var _ service.Registry = (*shelf)(nil)

// newShelf shows the registry that images go to by default. own is the one of
// this process, if there is one, and names are those of its certificate.
func newShelf(p *place, target string, own *registry.Server, names []string) (*shelf, error) {
	contents, err := newPusher(p).Contents(target)
	if err != nil {
		return nil, usageError{err}
	}
	host, _, err := pusher.ParseTarget(target)
	if err != nil {
		return nil, usageError{err}
	}
	if _, after, ok := strings.Cut(host, "://"); ok {
		host = after
	}
	if own != nil && target == pushedTo(own) {
		host = outside(own.Address(), names)[0]
	}
	return &shelf{host: host, contents: contents, facts: builder.LayerFacts(p.stateDir), isa: map[digest.Digest]string{}}, nil
}

// Images lists what the registry holds, sorted by repository and tag.
func (s *shelf) Images(ctx context.Context) ([]service.Image, error) {
	held, err := s.contents.Tags(ctx)
	if err != nil {
		return nil, &service.UnavailableError{Err: err}
	}
	all := make([]service.Image, 0, len(held))
	s.mu.Lock()
	defer s.mu.Unlock()
	known := map[digest.Digest]string{}
	for _, h := range held {
		i := service.Image{
			Repository: h.Repository, Tag: h.Tag, Digest: h.Digest, Bytes: h.Bytes, Shared: h.Shared,
			Reference: s.host + "/" + h.Repository + ":" + h.Tag, Platforms: []string{},
		}
		if h.Err != nil {
			i.Problem = h.Err.Error()
		}
		for _, one := range h.Images {
			i.Platforms = append(i.Platforms, one.Platform)
			ours := pusher.Riscv64([]string{one.Platform})
			if ours || i.Created == nil {
				i.Created = one.Created
			}
			if ours {
				i.ISA = s.isaOf(one)
				if i.ISA != "" {
					known[one.Digest] = i.ISA
				}
			}
		}
		all = append(all, i)
	}
	s.isa = known
	return all, nil
}

// isaOf is known of images that were checked in this state directory.
func (s *shelf) isaOf(i pusher.ImageInfo) string {
	if isa, ok := s.isa[i.Digest]; ok {
		return isa
	}
	return check.KnownISA(i.Layers(), s.facts)
}

// ownRegistry listens for the registry of --registry, and says as what images
// are pushed into it. It shows the certificate that the service's flags name,
// where others reach it and may not do so in plain HTTP.
func ownRegistry(c *cli.Context, p *place) (server *registry.Server, target string, err error) {
	opt := registry.ServeOptions{
		Root: registryRoot(c, p), Address: c.String("registry-addr"), Htpasswd: c.String("registry-htpasswd"), Log: requestLog(c),
	}
	if err := checkListen("registry-addr", opt.Address); err != nil {
		return nil, "", err
	}
	if !c.Bool("insecure-http") && !loopback(opt.Address) {
		opt.CertFile, opt.KeyFile = c.String("tls-cert"), c.String("tls-key")
		if opt.SelfSigned, err = certificateNames(c.String("tls-self-signed")); err != nil {
			return nil, "", err
		}
		if opt.CertFile == "" && len(opt.SelfSigned) == 0 {
			return nil, "", usagef("serving the registry at %q in plain HTTP: everybody on the network could change what others pull: give --tls-self-signed HOST,IP or --tls-cert and --tls-key, or --registry-addr 127.0.0.1:PORT, or say --insecure-http", opt.Address)
		}
	}
	if server, err = registry.Listen(opt); err != nil {
		return nil, "", err
	}
	target = pushedTo(server)
	if server.TLS() {
		_, p.own, _ = strings.Cut(target, "://")
	}
	return server, target, nil
}

// pushedTo is a registry of this process as a target of its builds.
func pushedTo(server *registry.Server) string {
	scheme := "http://"
	if server.TLS() {
		scheme = "https://"
	}
	host, port, err := net.SplitHostPort(server.Address().String())
	if ip := net.ParseIP(host); err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return scheme + net.JoinHostPort(host, port)
}

// outside lists HOST:PORT at which others reach a listener: by the names of its
// certificate where there are some, else by its addresses.
func outside(at net.Addr, names []string) []string {
	_, port, err := net.SplitHostPort(at.String())
	if err != nil {
		return []string{at.String()}
	}
	if len(names) == 0 {
		names = reachable(at)
	}
	var all []string
	for _, name := range names {
		all = append(all, net.JoinHostPort(name, port))
	}
	return all
}
