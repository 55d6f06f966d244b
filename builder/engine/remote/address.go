package remote

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
)

// DefaultSocket is where BuildKit listens by default.
const DefaultSocket = "/run/buildkit/buildkitd.sock"

// kinds are the schemes of URLs, with the query parameters of each and how a
// URL is written, for messages.
var kinds = map[string]struct {
	parameters []string
	form       string
}{
	"unix":              {nil, "unix:///SOCKET"},
	"tcp":               {nil, "tcp://HOST:PORT"},
	"ssh":               {nil, "ssh://[USER@]HOST[:PORT][/SOCKET]"},
	"docker":            {[]string{"host"}, "docker://[CONTEXT | ?host=unix:///SOCKET]"},
	"docker-container":  {[]string{"context"}, "docker-container://NAME[?context=CONTEXT]"},
	"nerdctl-container": {[]string{"namespace"}, "nerdctl-container://NAME[?namespace=NAMESPACE]"},
	"podman-container":  {[]string{"connection"}, "podman-container://NAME[?connection=CONNECTION]"},
	"kube-pod":          {[]string{"context", "namespace", "container"}, "kube-pod://POD[?context=CONTEXT&namespace=NAMESPACE&container=CONTAINER]"},
}

// Forms are the ways to write the URL of an engine, in their order.
func Forms() []string {
	var all []string
	for _, k := range kinds {
		all = append(all, k.form)
	}
	slices.Sort(all)
	return all
}

// Address is where a BuildKit is and how it is reached.
type Address struct {
	text string // as it was written, without a password
	kind string
	url  *url.URL
}

// String is the address as it was written.
func (a Address) String() string { return a.text }

// Kind is the scheme.
func (a Address) Kind() string { return a.kind }

// ParseAddress reads the URL of an engine.
func ParseAddress(text string) (Address, error) {
	u, err := url.Parse(text)
	if err != nil {
		return Address{}, fmt.Errorf("reading engine %q: %w: write %s", text, err, strings.Join(Forms(), ", "))
	}
	k, known := kinds[u.Scheme]
	if !known {
		return Address{}, fmt.Errorf("reading engine %q: there is no such kind: write auto, embedded, %s", text, strings.Join(Forms(), ", "))
	}
	a := Address{text: text, kind: u.Scheme, url: u}
	if err := a.check(k.parameters); err != nil {
		return a, fmt.Errorf("reading engine %q: %w: write %s", u.Redacted(), err, k.form)
	}
	return a, nil
}

// check says what is wrong with the parts of an address.
func (a Address) check(parameters []string) error {
	u := a.url
	for _, name := range slices.Sorted(maps.Keys(u.Query())) {
		if !slices.Contains(parameters, name) {
			return fmt.Errorf("it has a parameter %q that means nothing", name)
		}
	}
	_, password := u.User.Password()
	switch {
	case password:
		return errors.New("a password in it would be seen by everybody: use a key")
	case u.User != nil && a.kind != "ssh":
		return errors.New("only ssh has a user")
	case u.Fragment != "" || u.Opaque != "":
		return errors.New("it is malformed")
	case u.Host != "" && u.Query().Has("host"):
		return errors.New("it has a context and a host")
	case strings.HasPrefix(u.Host, "-") || strings.HasPrefix(u.User.Username(), "-"):
		return errors.New("a name does not begin with -") // a program that is run would take it for a flag
	}
	switch a.kind {
	case "unix":
		if u.Host != "" || u.Path == "" {
			return errors.New("it names no absolute path")
		}
	case "tcp":
		if u.Hostname() == "" || u.Port() == "" || strings.Trim(u.Path, "/") != "" {
			return errors.New("it needs a host and a port, and nothing else")
		}
	case "ssh":
		if u.Hostname() == "" {
			return errors.New("it names no host")
		}
	default:
		if u.Host == "" && a.kind != "docker" {
			return errors.New("it names no container")
		}
		if strings.Trim(u.Path, "/") != "" || u.Port() != "" {
			return errors.New("there is something behind the name")
		}
	}
	return nil
}

// loopback tells whether a host name is this machine.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
