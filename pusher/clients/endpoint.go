package clients

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/distribution/reference"
)

// dockerHub is the name that image references without a registry stand for.
const dockerHub = "docker.io"

// endpoint is a registry and how it is spoken to.
type endpoint struct {
	host    string // HOST[:PORT], as image references write it
	plain   bool   // HTTP without TLS
	assumed bool   // nobody said which; the kind of address decided
}

// url is where the registry answers.
func (e endpoint) url() string {
	if e.plain {
		return "http://" + e.host
	}
	return "https://" + e.host
}

// name is the host without its port and brackets.
func (e endpoint) name() string {
	if name, _, err := net.SplitHostPort(e.host); err == nil {
		return name
	}
	return strings.Trim(e.host, "[]")
}

// port is 0 if none is written.
func (e endpoint) port() int {
	_, port, _ := net.SplitHostPort(e.host)
	n, _ := strconv.Atoi(port)
	return n
}

// fileName is the host as a part of a file's name.
func (e endpoint) fileName() string {
	return strings.Trim(strings.NewReplacer(":", "_", "[", "", "]", "").Replace(e.host), "_")
}

// mirror is a registry that stands in for another.
type mirror struct {
	of     string // the registry that references name
	at     endpoint
	prefix string // of the repositories there; "" for none
}

// parseRegistry reads [http://|https://]HOST[:PORT]. A CA file means HTTPS.
func parseRegistry(text string, hasCA bool) (endpoint, error) {
	at, path, err := parseEndpoint(text, hasCA)
	switch {
	case err != nil:
		return at, err
	case path != "":
		return at, requestf("reading registry %q: it has a path: give HOST:PORT only; a path is a part of image names", text)
	case at.host == dockerHub || at.host == "index.docker.io":
		return at, requestf("reading registry %q: every client knows it: to have its images come from elsewhere write --mirror docker.io=HOST", text)
	case hasCA && at.plain:
		return at, requestf("reading registry %q: a CA file is for HTTPS: write https:// or leave --ca out", text)
	}
	return at, nil
}

// parseMirror reads NAME=[http://|https://]HOST[:PORT][/PREFIX]. A mirror that
// is the registry itself is spoken to as the registry is.
func parseMirror(text string, registry endpoint) (mirror, error) {
	of, at, found := strings.Cut(text, "=")
	if !found {
		return mirror{}, requestf("reading mirror %q: say of which registry: write docker.io=HOST:PORT", text)
	}
	from, path, err := parseEndpoint(of, false)
	if err != nil {
		return mirror{}, err
	}
	if from.host != of || path != "" {
		return mirror{}, requestf("reading mirror %q: %q is no registry's name: write it as images do, such as docker.io", text, of)
	}
	if of == "index.docker.io" || of == "registry-1.docker.io" {
		of = dockerHub
	}
	m := mirror{of: of}
	if m.at, m.prefix, err = parseEndpoint(at, false); err != nil {
		return m, err
	}
	if m.at.host == registry.host && m.at.assumed {
		m.at = registry
	}
	if m.at.host == registry.host && m.at.plain != registry.plain {
		return m, requestf("reading mirror %q: the registry is %s: speak to both alike", text, registry.url())
	}
	if m.at.host == of {
		return m, requestf("reading mirror %q: a registry is no mirror of itself: name another one behind the =", text)
	}
	return m, nil
}

// parseEndpoint reads a registry's address, and a path that may follow.
func parseEndpoint(text string, hasCA bool) (at endpoint, path string, err error) {
	rest, scheme := text, ""
	if s, r, ok := strings.Cut(text, "://"); ok {
		scheme, rest = strings.ToLower(s), r
	}
	if scheme != "" && scheme != "http" && scheme != "https" {
		return at, "", requestf("reading registry %q: its scheme is neither http nor https: write one of them, or none", text)
	}
	at.host, path, _ = strings.Cut(rest, "/")
	path = strings.Trim(path, "/")
	if strings.Contains(at.host, "@") {
		return at, "", requestf("reading registry %q: it has an account: give --user, and the password by $%s or --password-stdin", redactURL(text), PasswordVariable)
	}
	if err := checkHost(at.host); err != nil {
		return at, "", requestf("reading registry %q: %v", text, err)
	}
	if path != "" {
		if _, err := reference.ParseNamed(at.host + "/" + path); err != nil {
			return at, "", requestf("reading registry %q: %q is no path of a repository: use small letters, digits and . _ - /", text, path)
		}
	}
	at.plain = scheme == "http"
	if scheme == "" && !hasCA {
		at.assumed, at.plain = true, at.local()
	}
	return at, path, nil
}

// checkHost refuses what image references cannot begin with.
func checkHost(host string) error {
	if host == "" {
		return fmt.Errorf("it has no host: write HOST:PORT")
	}
	named, err := reference.ParseNormalizedNamed(host + "/x")
	if err != nil {
		return fmt.Errorf("%q is no HOST:PORT: %w: write it as in image names, such as 192.168.1.5:6000", host, err)
	}
	if reference.Domain(named) != host && host != "index.docker.io" {
		return fmt.Errorf("clients take %q in an image name for a directory of docker.io, not for a host: add the port or the domain, such as %s:6000 or %s.local", host, host, host)
	}
	if _, port, err := net.SplitHostPort(host); err == nil {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return fmt.Errorf("port %q is not between 1 and 65535: correct it", port)
		}
	}
	return nil
}

// local says whether the name by itself is one of this machine or its network:
// loopback, RFC 1918, fc00::/7, link-local, .local (RFC 6762), a single label.
func (e endpoint) local() bool {
	name := strings.ToLower(e.name())
	if addr, err := netip.ParseAddr(name); err == nil {
		addr = addr.Unmap()
		return addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast()
	}
	name = strings.TrimSuffix(name, ".")
	return !strings.Contains(name, ".") || strings.HasSuffix(name, ".local") || strings.HasSuffix(name, ".localhost")
}

// loopback says whether the name means another machine on every machine.
func (e endpoint) loopback() bool {
	if addr, err := netip.ParseAddr(e.name()); err == nil {
		return addr.Unmap().IsLoopback()
	}
	return e.name() == "localhost"
}

// redactURL takes the password out of an address for an error.
func redactURL(text string) string {
	if u, err := url.Parse(text); err == nil && u.Host != "" {
		return u.Redacted()
	}
	_, host, _ := strings.Cut(text, "@")
	return "...@" + host
}
