// Package client asks a service elsewhere, over the API of package api. It is
// for commands; it shows nothing and keeps nothing.
package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"
)

// Options say where a service is.
type Options struct {
	URL       string // http://HOST[:PORT], https://HOST[:PORT] or unix:///PATH of a socket
	Token     string // empty: none is sent
	CAFile    string // certificates (PEM) to trust beside those of the system
	UserAgent string
}

// Client asks one service. Its methods may be called concurrently.
type Client struct {
	base  string // http[s]://HOST[/PREFIX], without a slash at the end
	shown string // base as a user knows it
	token string
	agent string
	http  *http.Client

	silence, patience, pause time.Duration // of Follow
}

// answerTimeout bounds the wait for an answer's beginning: a submission may
// have the service fetch a git repository first.
const answerTimeout = 10 * time.Minute

// New makes a client; it connects to nothing yet. A token is sent over plain
// HTTP only to addresses of this machine and of private networks.
func New(opt Options) (*Client, error) {
	u, err := url.Parse(opt.URL)
	if err != nil {
		return nil, fmt.Errorf("reading the service's address %q: %w: write it as http://HOST:PORT", opt.URL, err)
	}
	c := &Client{
		base: strings.TrimRight(u.String(), "/"), shown: opt.URL, token: opt.Token, agent: opt.UserAgent,
		silence: time.Minute, patience: 2 * time.Minute, pause: 250 * time.Millisecond,
	}
	dialer := &net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: 15 * time.Second, ResponseHeaderTimeout: answerTimeout, IdleConnTimeout: time.Minute,
	}
	switch {
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("reading the service's address %q: it has more than host, port and path: leave out the rest", u.Redacted())
	case u.Scheme == "unix" && u.Host == "" && u.Path != "":
		c.base = "http://localhost"
		transport.Proxy = nil
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", u.Path)
		}
	case u.Scheme == "http" && u.Host != "" && opt.Token != "":
		if err := localOnly(u.Hostname()); err != nil {
			return nil, err
		}
		transport.Proxy, dialer.Control = nil, controlLocal
	case (u.Scheme == "http" || u.Scheme == "https") && u.Host != "":
	default:
		return nil, fmt.Errorf("reading the service's address %q: write it as http://HOST:PORT, https://HOST:PORT or unix:///PATH", opt.URL)
	}
	if transport.TLSClientConfig, err = trust(opt.CAFile); err != nil {
		return nil, err
	}
	c.http = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c, nil
}

// trust adds certificates to those of the system.
func trust(file string) (*tls.Config, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the CA of the service %q: %w: check the path", file, err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a system without certificates
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("reading the CA of the service %q: it holds no certificate: give one in PEM", file)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}

var errPublic = errors.New("a token is not sent over plain HTTP to a public address: use https://, or a tunnel")

// localOnly refuses an address of the public network; names are judged by the
// address they have when they are connected to.
func localOnly(host string) error {
	if addr, err := netip.ParseAddr(host); err == nil && !local(addr) {
		return fmt.Errorf("reading the service's address %q: %w", host, errPublic)
	}
	return nil
}

func controlLocal(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !local(at.Addr()) {
		return fmt.Errorf("connecting to %q: %w", address, errPublic)
	}
	return nil
}

func local(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast()
}
