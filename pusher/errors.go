package pusher

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// Error is a registry that did not do what was asked. Exit code 4.
type Error struct {
	Op         string // "pushing blob"
	Registry   string // HOST[:PORT]
	Repository string
	Object     string // a digest or a tag
	Err        error
	Advice     string // what to do
}

// Error is one line: what was done with what, where, the cause, what to do.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Object != "" {
		fmt.Fprintf(&b, " %q", e.Object)
	}
	if e.Repository != "" {
		fmt.Fprintf(&b, " of repository %q", e.Repository)
	}
	fmt.Fprintf(&b, " at registry %q: %s", e.Registry, e.Err)
	if e.Advice != "" {
		b.WriteString(": " + e.Advice)
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// errNotFound is how a registry says that it has no such thing.
var errNotFound = errors.New("404 Not Found")

// errNoAccount is a registry that wants credentials where there are none.
var errNoAccount = errors.New("401 Unauthorized: no credentials are known for it")

// IsNotFound says whether a registry answered that there is no such thing.
func IsNotFound(err error) bool {
	var e *Error
	var status statusError
	return errors.As(err, &e) && (errors.Is(e.Err, errNotFound) ||
		errors.As(e.Err, &status) && status.resp.StatusCode == http.StatusNotFound)
}

// localError is no fault of the registry: the image could not be read.
type localError struct{ err error }

func (e *localError) Error() string { return e.err.Error() }
func (e *localError) Unwrap() error { return e.err }

// DiskError is a disk of this machine that does not take what is written. Exit
// code 3.
type DiskError struct{ Err error }

// Error says what to do too.
func (e *DiskError) Error() string {
	if errors.Is(e.Err, syscall.ENOSPC) || errors.Is(e.Err, syscall.EDQUOT) {
		return e.Err.Error() + ": free some space there, or write elsewhere (TMPDIR is where images of registries are put for a while)"
	}
	return e.Err.Error() + ": check who may write there, or write elsewhere"
}

// Unwrap gives the cause.
func (e *DiskError) Unwrap() error { return e.Err }

// ExitCode is that of a machine that lacks something.
func (e *DiskError) ExitCode() int { return 3 }

// onDisk marks errors of writing that are the disk's.
func onDisk(err error) error {
	for _, disk := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EACCES, syscall.EIO} {
		if errors.Is(err, disk) {
			return &DiskError{err}
		}
	}
	return err
}

// subject is what an operation was about.
type subject struct{ op, repository, object string }

// fail makes the error of an operation. The end of the caller's context and
// errors of reading the image stay what they are.
func (ep *endpoint) fail(ctx context.Context, at subject, err error) error {
	if cause := ctx.Err(); cause != nil {
		return fmt.Errorf("%s %q of repository %q at registry %q: %w", at.op, at.object, at.repository, ep.host, cause)
	}
	var here *localError
	if errors.As(err, &here) {
		return fmt.Errorf("%s %q: %w: the image is damaged, build it again", at.op, at.object, here)
	}
	e := &Error{Op: at.op, Registry: ep.host, Repository: at.repository, Object: at.object}
	e.Advice, e.Err = ep.explain(err)
	return e
}

// explain gives the cause without the wrapping of the libraries, and advice.
func (ep *endpoint) explain(err error) (string, error) {
	var (
		account *accountError
		plain   *plainError
		down    *downgradeError
		resp    *errcode.ErrorResponse
	)
	switch {
	case errors.As(err, &account):
		return account.advice(), account
	case errors.As(err, &plain):
		return plain.advice(), plain
	case errors.As(err, &down):
		return down.advice(), down
	case errors.Is(err, auth.ErrBasicCredentialNotFound):
		return ep.login(), errNoAccount
	case errors.As(err, &resp):
		return ep.statusAdvice(resp), statusError{resp}
	case errors.Is(err, errdef.ErrNotFound):
		return "check repository and tag, and that the address is a registry's", errNotFound
	}
	return ep.connection(err)
}

// connection explains what went wrong below HTTP.
func (ep *endpoint) connection(err error) (string, error) {
	var (
		requested *url.Error
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
		dns       *net.DNSError
	)
	if errors.As(err, &requested) {
		err = requested.Err
		if at, parseErr := url.Parse(requested.URL); parseErr == nil {
			err = fmt.Errorf("%s %s: %w", strings.ToUpper(requested.Op), at.Path, err)
		}
	}
	switch {
	case errors.Is(err, errStall):
		return "check the network and the registry, then try again: what it has is not sent again", err
	case errors.As(err, &authority):
		return fmt.Sprintf("name its CA's certificate in the settings of this registry, or write it where docker has it: `riscv-build configure docker --registry https://%s --ca FILE --write`", ep.host), authority
	case errors.As(err, &name):
		return "use a name that stands in its certificate", name
	case errors.As(err, &invalid):
		return "check the clock of this machine and the certificate's dates", invalid
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record):
		return fmt.Sprintf("the registry speaks plain HTTP: write http://%s", ep.host), err
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: start the registry, or correct the port", err
	case errors.As(err, &dns):
		return "the name is unknown here: correct it, or check the name server", err
	}
	return "check the network and the registry, then try again", err
}

// statusError is a registry's refusal, with its own words.
type statusError struct{ resp *errcode.ErrorResponse }

func (e statusError) Error() string {
	text := fmt.Sprintf("%s %s: %d %s", e.resp.Method, e.resp.URL.Path, e.resp.StatusCode, http.StatusText(e.resp.StatusCode))
	if len(e.resp.Errors) > 0 {
		text += " (" + e.resp.Errors.Error() + ")"
	}
	return text
}

func (e statusError) Unwrap() error { return e.resp }

// statusAdvice says what to do about an HTTP status.
func (ep *endpoint) statusAdvice(resp *errcode.ErrorResponse) string {
	switch code := resp.StatusCode; {
	case diskFull(resp):
		return "the registry's disk is full: free some, for example by its garbage collection"
	case code == http.StatusUnauthorized:
		return ep.login()
	case code == http.StatusForbidden:
		return "the account may not do this: check its rights for the repository"
	case code == http.StatusNotFound:
		return "create the repository or correct its name, and check that the address is a registry's"
	case code == http.StatusMethodNotAllowed:
		return "the registry takes no pushes: it may be a cache or be set read-only"
	case code == http.StatusRequestEntityTooLarge:
		return "a proxy before the registry limits uploads: raise its limit (client_max_body_size)"
	case code == http.StatusTooManyRequests:
		return "the registry limits requests: wait, then try again"
	case strings.Contains(resp.Errors.Error(), "digest invalid"):
		return "other bytes arrived than were sent: check the proxy before the registry, and the memory of both machines"
	case code == http.StatusBadRequest && ep.plain && resp.Method != http.MethodPut:
		return fmt.Sprintf("the registry may want TLS: write https://%s", ep.host)
	case code >= 500:
		return "look into the registry's log"
	}
	return "check the address and the registry's log"
}

func (ep *endpoint) login() string {
	return fmt.Sprintf("run `docker login %s` with an account that may", ep.host)
}

// diskFull recognises a full disk: the status for it, or what a registry with
// a filesystem driver answers (error 28 is ENOSPC on Linux).
func diskFull(resp *errcode.ErrorResponse) bool {
	text := resp.Error()
	return resp.StatusCode == http.StatusInsufficientStorage || resp.StatusCode >= 500 &&
		(strings.Contains(text, "no space left") || strings.Contains(text, "Err:28"))
}
