package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/riscv-build/riscv-build/builder/engine"
)

// dialTime is how long a connection may take to come about.
const dialTime = 20 * time.Second

// dialer makes connections to an engine.
type dialer func(ctx context.Context) (net.Conn, error)

// newDialer is how the engine at an address is reached, apart from docker://.
func newDialer(o Options) (dialer, error) {
	switch o.Address.kind {
	case "unix":
		return func(ctx context.Context) (net.Conn, error) { return dialNet(ctx, "unix", o.Address.url.Path) }, nil
	case "tcp":
		return tcpDialer(o)
	}
	args := commandOf(o.Address)
	return func(context.Context) (net.Conn, error) { return startCommand(args) }, nil
}

func dialNet(ctx context.Context, network, address string) (net.Conn, error) {
	// A peer that has gone without a word is noticed in half a minute.
	d := net.Dialer{Timeout: dialTime, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 4}}
	return d.DialContext(ctx, network, address)
}

// tcpDialer secures connections with TLS, but those within this machine that
// have no files for it.
func tcpDialer(o Options) (dialer, error) {
	address := o.Address.url.Host
	if o.TLS == (TLS{}) {
		if !loopback(o.Address.url.Hostname()) {
			return nil, &engine.EnvironmentError{
				What: fmt.Sprintf("the engine at %q would be used without TLS: whoever is on the way could read and change what is built", o.Address),
				Do:   "name the certificates with --engine-tls DIR (ca.pem, cert.pem, key.pem), or reach the engine through ssh://",
			}
		}
		return func(ctx context.Context) (net.Conn, error) { return dialNet(ctx, "tcp", address) }, nil
	}
	config, err := o.TLS.config()
	if err != nil {
		return nil, err
	}
	config.ServerName = o.Address.url.Hostname()
	return func(ctx context.Context) (net.Conn, error) {
		plain, err := dialNet(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, dialTime)
		defer cancel()
		conn := &begun{Conn: tls.Client(plain, config)}
		if err := conn.begin(ctx); err != nil {
			return nil, errors.Join(err, plain.Close())
		}
		return conn, nil
	}, nil
}

// begun is a connection whose other side has said something. With TLS 1.3 a
// client has shaken hands before it hears that its certificate is refused, and
// may be told no more than that the pipe is broken when it writes (RFC 8446,
// section 4.4.2.4). A server of HTTP/2 speaks without being asked (RFC 9113,
// section 3.4).
type begun struct {
	*tls.Conn
	first []byte
}

func (b *begun) begin(ctx context.Context) error {
	if err := b.HandshakeContext(ctx); err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := b.SetReadDeadline(deadline); err != nil {
			return err
		}
	}
	first := make([]byte, 1)
	n, err := b.Conn.Read(first)
	b.first = first[:n]
	return errors.Join(err, b.SetReadDeadline(time.Time{}))
}

func (b *begun) Read(p []byte) (int, error) {
	if len(b.first) > 0 && len(p) > 0 {
		n := copy(p, b.first)
		b.first = b.first[n:]
		return n, nil
	}
	return b.Conn.Read(p)
}

func (t TLS) config() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"}}
	unreadable := func(what, file string, err error) error {
		return &engine.EnvironmentError{
			What: fmt.Sprintf("%s in %q cannot be used", what, file), Err: err,
			Do: "give --engine-tls a directory with ca.pem, cert.pem and key.pem",
		}
	}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, unreadable("the certificate authority", t.CA, err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, unreadable("the certificate authority", t.CA, errors.New("no certificate in PEM form"))
		}
	}
	if t.Cert != "" || t.Key != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, unreadable("the client certificate", t.Cert, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// commandOf is the command whose standard streams lead to the BuildKit at an address.
func commandOf(a Address) []string {
	u, q := a.url, a.url.Query()
	dial := []string{"buildctl", "dial-stdio"}
	option := func(flag, key string) []string {
		if v := q.Get(key); v != "" {
			return []string{"--" + flag + "=" + v}
		}
		return nil
	}
	join := func(parts ...[]string) (all []string) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	switch a.kind {
	case "ssh":
		return append(sshCommand(a), sshScript(u.Path))
	case "docker-container":
		return join([]string{"docker"}, option("context", "context"), []string{"exec", "-i", u.Host}, dial)
	case "nerdctl-container":
		return join([]string{"nerdctl"}, option("namespace", "namespace"), []string{"exec", "-i", u.Host}, dial)
	case "podman-container":
		return join([]string{"podman"}, option("connection", "connection"), []string{"exec", "-i", u.Host}, dial)
	}
	return join([]string{"kubectl"}, option("context", "context"), option("namespace", "namespace"),
		[]string{"exec", "-i"}, option("container", "container"), []string{u.Host, "--"}, dial)
}

// sshCommand is ssh to the host of an address. It asks nothing: there is nobody
// at its input. A link that is dead is given up after 45 seconds.
func sshCommand(a Address) []string {
	args := []string{"ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=15", "-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=3"}
	if user := a.url.User.Username(); user != "" {
		args = append(args, "-l", user)
	}
	if port := a.url.Port(); port != "" {
		args = append(args, "-p", port)
	}
	return append(args, "--", a.url.Hostname())
}

// sshScript connects to a socket of the other machine with what is there: a
// buildctl, or this program.
func sshScript(socket string) string {
	if strings.Trim(socket, "/") == "" {
		socket = DefaultSocket
	}
	addr := "--addr " + quote("unix://"+socket)
	return "sh -c " + quote("if command -v buildctl >/dev/null 2>&1; then exec buildctl "+addr+" dial-stdio; else exec riscv-build engine dial-stdio "+addr+"; fi")
}

// quote makes a text one word of a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
