// Package containerd finds the containerd of this machine: the one that the
// system runs, or the one inside K3s. What is put into it, and what is run in
// it, is other packages' business; so are the configuration files of containerd
// (pusher/clients).
package containerd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	client "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
)

// The places where containerd listens, as Debian's package and as K3s set them.
const (
	SystemSocket = "/run/containerd/containerd.sock"
	K3sSocket    = "/run/k3s/containerd/containerd.sock"
)

// The namespaces in which containerd keeps images: that of Kubernetes' CRI, and
// that of `ctr` and nerdctl.
const (
	KubernetesNamespace = "k8s.io"
	DefaultNamespace    = "default"
)

// None is the value of --containerd that means: use no containerd.
const None = "none"

// answerTime is how long a containerd may take to say its version. A board that
// has just started takes seconds.
const answerTime = 10 * time.Second

// Endpoint is a containerd that answers.
type Endpoint struct {
	Address   string // path of its socket
	Namespace string // where images for users go
	Version   string // such as "1.7.24~ds1" or "v2.1.4-k3s1"
}

// String names the endpoint as --containerd takes it.
func (e Endpoint) String() string { return e.Address + ",namespace=" + e.Namespace }

// K3s tells whether the containerd is the one inside K3s.
func (e Endpoint) K3s() bool { return filepath.Clean(e.Address) == K3sSocket }

// Parse reads SOCKET[,namespace=NS], where SOCKET may begin with unix://. The
// namespace is k8s.io for K3s's socket, "default" else. It asks nobody.
func Parse(text string) (Endpoint, error) {
	address, options, some := strings.Cut(text, ",")
	e := Endpoint{Address: strings.TrimPrefix(address, "unix://"), Namespace: DefaultNamespace}
	if !filepath.IsAbs(e.Address) {
		return e, fmt.Errorf("reading containerd %q: the socket is no absolute path: give SOCKET[,namespace=NS], such as %s, or %s", text, SystemSocket, None)
	}
	if e.K3s() {
		e.Namespace = KubernetesNamespace
	}
	if !some {
		return e, nil
	}
	name, value, _ := strings.Cut(options, "=")
	if name != "namespace" || value == "" || strings.ContainsAny(value, ",/ ") {
		return e, fmt.Errorf("reading containerd %q: %q is not namespace=NS: give SOCKET[,namespace=NS], such as %s,namespace=%s", text, options, SystemSocket, KubernetesNamespace)
	}
	e.Namespace = value
	return e, nil
}

// Find gives the containerd that wanted names, as Parse reads it; for "" the
// first one of the known places that answers, the system's before K3s's. ok is
// false where wanted is None, or nothing was named and nothing answers.
func Find(ctx context.Context, wanted string) (e Endpoint, ok bool, err error) {
	switch wanted {
	case None:
		return Endpoint{}, false, nil
	case "":
		return find(ctx, []string{SystemSocket, K3sSocket})
	}
	e, err = Parse(wanted)
	if err != nil {
		return e, false, err
	}
	e.Version, err = e.ask(ctx)
	return e, err == nil, err
}

func find(ctx context.Context, sockets []string) (Endpoint, bool, error) {
	for _, socket := range sockets {
		if info, err := os.Stat(socket); err != nil || info.Mode().Type() != fs.ModeSocket {
			continue
		}
		e, err := Parse(socket)
		if err != nil {
			return e, false, err
		}
		if e.Version, err = e.ask(ctx); err == nil {
			return e, true, nil
		}
		if ctx.Err() != nil {
			return e, false, context.Cause(ctx)
		}
	}
	return Endpoint{}, false, nil
}

// ask asks for the version, which shows that there is a containerd.
func (e Endpoint) ask(ctx context.Context) (string, error) {
	if err := reachable(e.Address); err != nil {
		return "", fmt.Errorf("connecting to containerd at %q: %w", e.Address, err)
	}
	c, err := e.Dial()
	if err != nil {
		return "", err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	v, err := c.Version(ctx)
	if err != nil {
		return "", fmt.Errorf("asking containerd at %q for its version: %w: is it running? (`systemctl status containerd`)", e.Address, err)
	}
	return v.Version, nil
}

// reachable tells early, and in words of use, what a dial would wait for.
func reachable(socket string) error {
	info, err := os.Stat(socket)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no such socket: start containerd (`systemctl start containerd`, or k3s), or name its socket with --containerd")
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: run this as root", err)
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("that is no socket: name the one that containerd listens on")
	}
	return nil
}

// Dial connects to the endpoint; the namespace of every call is the endpoint's,
// unless the call's context has another one. The caller closes the client.
func (e Endpoint) Dial() (*client.Client, error) {
	c, err := client.New(e.Address, client.WithDefaultNamespace(cmp.Or(e.Namespace, DefaultNamespace)), client.WithTimeout(answerTime))
	if err != nil {
		return nil, fmt.Errorf("connecting to containerd at %q: %w: is it running, and are you root?", e.Address, err)
	}
	return c, nil
}

// Context is ctx with the endpoint's namespace, for services that have no default.
func (e Endpoint) Context(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, cmp.Or(e.Namespace, DefaultNamespace))
}
