package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/moby/buildkit/util/grpcerrors"
	"github.com/riscv-build/riscv-build/builder/engine"
	"google.golang.org/grpc/codes"
)

// remedy is what to do about a way not to reach an engine, known by words of
// the programs that lead there.
type remedy struct {
	says string
	what string // %s is the address
	do   string
}

// remedies are tried in their order: what is more particular comes first.
var remedies = []remedy{
	{"Host key verification failed", "ssh does not know the key of the host of %s", "connect once by hand (`ssh HOST`) and compare the key it shows"},
	{"Permission denied (", "ssh was refused at %s: the key was not accepted", "load your key (`ssh-add`) and put its public half into ~/.ssh/authorized_keys there; `ssh -o BatchMode=yes HOST true` must work"},
	{"Could not resolve hostname", "the host of %s is unknown", "correct the name, or write the address"},
	{"buildctl: not found", "there is neither buildctl nor riscv-build at %s", "install riscv-build there, and run `riscv-build engine serve`"},
	{"riscv-build: not found", "there is neither buildctl nor riscv-build at %s", "install riscv-build there, and run `riscv-build engine serve`"},
	{"executable file not found", "there is no buildctl in the container of %s", "name a container of a BuildKit, or of `riscv-build engine serve`"},
	{"No such container", "there is no container of the name in %s", "see `docker ps` for those there are"},
	{"no such container", "there is no container of the name in %s", "see `podman ps` or `nerdctl ps` for those there are"},
	{"no container with name or ID", "there is no container of the name in %s", "see `podman ps` for those there are"},
	{"is not running", "the container of %s does not run", "start it"},
	{"container state improper", "the container of %s does not run", "start it"},
	{"Cannot connect to the Docker daemon", "docker, which has the container of %s, does not answer", "start docker, and see `docker info`"},
	{"NotFound", "there is no pod of the name in %s", "see `kubectl get pods` for those there are"},
	{"Connection refused", "the host of %s refuses the connection", "start ssh there, or correct the port"},
	{"Connection timed out", "the host of %s does not answer", "see that it is up and can be reached"},
	{"No route to host", "the host of %s does not answer", "see that it is up and can be reached"},
	{"no such file or directory", "no engine listens at the socket of %s", "run `riscv-build engine serve` there, or start its BuildKit"},
	{"connection refused", "no engine listens at the socket of %s", "run `riscv-build engine serve` there, or start its BuildKit"},
	{"permission denied", "the socket of %s may not be used by you", "connect as a user who may, such as root"},
}

// unreachable says why no connection came about.
func (e *Engine) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("connecting to the engine at %q: %w", e.opts.Address, context.Cause(ctx))
	}
	if errors.As(err, new(*engine.EnvironmentError)) {
		return err
	}
	if said := e.said(ctx); said != nil {
		err = said
	}
	where := fmt.Sprintf("%q", e.opts.Address)
	if certificate := certificateError(where, err); certificate != nil {
		return certificate
	}
	for _, r := range remedies {
		if strings.Contains(err.Error(), r.says) {
			return &engine.EnvironmentError{What: fmt.Sprintf(r.what, where), Err: err, Do: r.do}
		}
	}
	known := &engine.EnvironmentError{
		What: "no engine answers at " + where, Err: err,
		Do: "see that a BuildKit or `riscv-build engine serve` runs there and can be reached",
	}
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		known.What, known.Do = "no engine listens at "+where, "start it there: `riscv-build engine serve`"
	case errors.Is(err, os.ErrPermission):
		known.What, known.Do = "you may not use the engine at "+where, "run this as a user who may, such as root"
	}
	return known
}

// said gives what the command of the last connection said, nil if there is none
// or it goes on.
func (e *Engine) said(ctx context.Context) error {
	e.mu.Lock()
	var last *commandConn
	if n := len(e.conns); n > 0 {
		last, _ = e.conns[n-1].(*commandConn)
	}
	e.mu.Unlock()
	if last == nil {
		return nil
	}
	return last.failure(ctx)
}

// certificateError says which side does not trust the other; nil if it is about
// something else.
func certificateError(where string, err error) error {
	var unverified *tls.CertificateVerificationError
	var alert tls.AlertError
	switch text := err.Error(); {
	case errors.As(err, &unverified):
		do := "have --engine-tls name the ca.pem that the engine's certificate is signed by"
		if errors.As(err, new(x509.HostnameError)) {
			do = "use a name that the certificate has, or have one made for this name"
		}
		return &engine.EnvironmentError{What: "the certificate of the engine at " + where + " is not trusted", Err: unverified.Err, Do: do}
	case errors.As(err, &alert), strings.Contains(text, "remote error: tls"):
		return &engine.EnvironmentError{
			What: "the engine at " + where + " does not accept this client's certificate", Err: err,
			Do: "have --engine-tls name a cert.pem and key.pem that are signed by the authority the engine trusts",
		}
	case strings.Contains(text, "first record does not look like a TLS handshake"):
		return &engine.EnvironmentError{What: "the engine at " + where + " does not speak TLS", Err: err, Do: "have it served with TLS, or leave out --engine-tls on this machine"}
	}
	return nil
}

// linkWords are what is said of a connection that has ended, where the code of
// the error has been lost on the way.
var linkWords = []string{"error reading from server", "transport is closing", "connection error: desc", "connection reset by peer", "broken pipe", "use of closed network connection", "client connection is closing", "no active session for"}

// Explain tells a connection that broke and a disk that is full.
func (e *Engine) Explain(err error, step *engine.ExecError) error {
	if step != nil {
		if strings.Contains(strings.ToLower(step.Log), "no space left on device") {
			return e.full(step)
		}
		return nil
	}
	text := err.Error()
	if strings.Contains(strings.ToLower(text), "no space left on device") {
		return e.full(err)
	}
	broken := e.broken.Load() || grpcerrors.Code(err) == codes.Unavailable
	for _, words := range linkWords {
		broken = broken || strings.Contains(text, words)
	}
	if !broken {
		return nil
	}
	if said := e.said(context.Background()); said != nil {
		err = said
	}
	return &engine.LinkError{Engine: e.opts.Address.String(), Err: err}
}

func (e *Engine) full(err error) error {
	return &engine.EnvironmentError{
		What: fmt.Sprintf("the disk of the engine at %q is full", e.opts.Address), Err: err,
		Do: "free some space there, for example with `buildctl prune`, then start the build again",
	}
}
