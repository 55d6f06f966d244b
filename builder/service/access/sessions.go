package access

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// sessionTime is how long a login to the page lasts.
const sessionTime = 12 * time.Hour

// Login begins a session of the page for a token. Its errors are
// *UnauthorizedError and *LimitedError.
//
// The service keeps no sessions: the cookie holds the token's name and its own
// end, signed with a key of this process and with the token's hash. It is worth
// nothing once the token is removed or replaced.
func (g *Guard) Login(w http.ResponseWriter, r *http.Request, token string) error {
	t, err := g.admit(r, strings.TrimSpace(token))
	if err != nil {
		return err
	}
	ends := time.Now().Add(sessionTime)
	value := fmt.Sprintf("%s|%d", t.Name, ends.Unix())
	signed := base64.RawURLEncoding.EncodeToString([]byte(value)) + "." + base64.RawURLEncoding.EncodeToString(g.sign(value, t))
	http.SetCookie(w, g.cookie(signed, int(sessionTime.Seconds())))
	return nil
}

// Logout ends the session in the browser.
func (g *Guard) Logout(w http.ResponseWriter, _ *http.Request) { http.SetCookie(w, g.cookie("", -1)) }

func (g *Guard) cookie(value string, age int) *http.Cookie {
	return &http.Cookie{
		Name: g.cookieName(), Value: value, Path: "/", MaxAge: age,
		HttpOnly: true, Secure: g.opt.TLS, SameSite: http.SameSiteStrictMode,
	}
}

// cookieName has the prefix by which browsers take the cookie from this very
// host over HTTPS alone.
func (g *Guard) cookieName() string {
	if g.opt.TLS {
		return "__Host-riscv-build"
	}
	return "riscv-build"
}

func (g *Guard) sign(value string, t Token) []byte {
	mac := hmac.New(sha256.New, g.key)
	fmt.Fprintf(mac, "%s|%s", value, t.SHA256)
	return mac.Sum(nil)
}

// session is the identity of a request's cookie; nobody if it has none that is good.
func (g *Guard) session(r *http.Request) Identity {
	c, err := r.Cookie(g.cookieName())
	if err != nil {
		return Identity{}
	}
	left, right, _ := strings.Cut(c.Value, ".")
	value, err1 := base64.RawURLEncoding.DecodeString(left)
	mac, err2 := base64.RawURLEncoding.DecodeString(right)
	name, ends, _ := strings.Cut(string(value), "|")
	end, err3 := strconv.ParseInt(ends, 10, 64)
	if err1 != nil || err2 != nil || err3 != nil || time.Now().Unix() >= end {
		return Identity{}
	}
	for _, t := range g.tokens() {
		if t.Name == name && hmac.Equal(mac, g.sign(string(value), t)) {
			return Identity{t.Name, Role(t.Role)}
		}
	}
	return Identity{}
}
