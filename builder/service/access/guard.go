package access

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// localName is the name of those who come over the state directory's socket.
const localName = "local"

// GuardOptions says whom a guard lets in.
type GuardOptions struct {
	Tokens *Tokens      // nil: none
	Open   bool         // those without a token may read
	TLS    bool         // clients speak HTTPS: cookies go over nothing else
	Log    *slog.Logger // nil: nothing is logged
}

// Guard tells who requests are from.
//
// It compares no Host header with the service's names, of which it knows few.
// A page elsewhere that gets its own name to point here (DNS rebinding) is
// nobody here: it has neither a token nor a cookie of that name. With Open it
// could read what everybody in the network can.
type Guard struct {
	opt      GuardOptions
	key      []byte // of sessions: they end with the process
	failures failures
	origins  *http.CrossOriginProtection
}

// New makes a guard.
func New(opt GuardOptions) *Guard {
	opt.Log = cmp.Or(opt.Log, slog.New(slog.DiscardHandler))
	g := &Guard{opt: opt, key: make([]byte, 32), origins: http.NewCrossOriginProtection()}
	rand.Read(g.key) // never fails
	return g
}

// UnauthorizedError says that a token is needed, or that the one shown is none.
type UnauthorizedError struct {
	Wanted Role // of what was asked for; Nobody: of a wrong token
}

func (e *UnauthorizedError) Error() string {
	if e.Wanted == Nobody {
		return "reading the token: there is no such token: check it, or ask for a new one"
	}
	return fmt.Sprintf("asking who you are: this needs the role %q: show a token that has it", e.Wanted)
}

// ForbiddenError says that a role is not enough.
type ForbiddenError struct{ Wanted, Has Role }

func (e *ForbiddenError) Error() string {
	return fmt.Sprintf("asking what you may do: this needs the role %q and you have %q: use a token with that role", e.Wanted, e.Has)
}

// LimitedError says that too many wrong tokens came from an address.
type LimitedError struct{ After time.Duration }

func (e *LimitedError) Error() string {
	return fmt.Sprintf("reading the token: too many wrong ones came from your address: wait %d seconds", e.seconds())
}

func (e *LimitedError) seconds() int { return int(math.Ceil(e.After.Seconds())) }

// Require is nil if the one a context is of has a role: an *UnauthorizedError
// or a *ForbiddenError says otherwise.
func Require(ctx context.Context, role Role) error {
	id := From(ctx)
	switch {
	case id.Role.Allows(role):
		return nil
	case id.Name == "":
		return &UnauthorizedError{Wanted: role}
	}
	return &ForbiddenError{Wanted: role, Has: id.Role}
}

// Identify puts the identity of a request into its context. A token that is
// shown and wrong is refused at once, and so is a request that changes
// something and that another site's page makes a browser send: a browser adds
// cookies by itself, but no tokens.
func (g *Guard) Identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var id Identity
		switch header := r.Header.Get("Authorization"); {
		case Local(r.Context()):
			id = Identity{localName, Admin}
		case header != "":
			var err error
			if id, err = g.bearer(r, header); err != nil {
				refuse(w, err)
				return
			}
		default:
			if err := g.origins.Check(r); err != nil {
				answer(w, http.StatusForbidden, "checking where the request is from: a page of another site has sent it: open the service's own page")
				return
			}
			id = g.session(r)
		}
		if id.Role == Nobody && g.opt.Open {
			id.Role = Read
		}
		next.ServeHTTP(w, r.WithContext(With(r.Context(), id)))
	})
}

// bearer is the identity of an Authorization header.
func (g *Guard) bearer(r *http.Request, header string) (Identity, error) {
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		token = "" // counted like a wrong one
	}
	t, err := g.admit(r, strings.TrimSpace(token))
	return Identity{t.Name, Role(t.Role)}, err
}

// admit looks a token up. A right one is taken whatever else came from its
// address: nobody is shut out by a neighbour, and 256 random bits are guessed by nobody.
func (g *Guard) admit(r *http.Request, token string) (Token, error) {
	if t, ok := lookUp(g.tokens(), token); ok {
		return t, nil
	}
	address := addressOf(r)
	if after := g.failures.count(address, time.Now()); after > 0 {
		return Token{}, &LimitedError{After: after}
	}
	g.opt.Log.Warn("a wrong token was shown", "address", address)
	return Token{}, &UnauthorizedError{}
}

func (g *Guard) tokens() []Token {
	list, err := g.opt.Tokens.current()
	if err != nil {
		g.opt.Log.Error("the tokens read before stay in use", "error", err)
	}
	return list
}

// addressOf is what failures are counted by: a network of IPv6 belongs to one
// who has all its addresses.
func addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return network(host)
}

func network(host string) string {
	ip := net.ParseIP(host)
	if ip == nil || ip.To4() != nil {
		return host
	}
	return ip.Mask(net.CIDRMask(64, 128)).String()
}

// refuse answers a request with an error of this package.
func refuse(w http.ResponseWriter, err error) {
	status := http.StatusForbidden
	switch e := err.(type) { //nolint:errorlint // they are not wrapped here
	case *UnauthorizedError:
		status = http.StatusUnauthorized
		challenge := `Bearer realm="riscv-build"`
		if e.Wanted == Nobody {
			challenge += `, error="invalid_token"`
		}
		w.Header().Set("WWW-Authenticate", challenge)
	case *LimitedError:
		status = http.StatusTooManyRequests
		w.Header().Set("Retry-After", strconv.Itoa(e.seconds()))
	}
	answer(w, status, err.Error())
}

// answer writes an error as RFC 9457 has it.
func answer(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{ // a client that is gone needs no answer
		"title": http.StatusText(status), "status": status, "detail": detail,
	})
}
