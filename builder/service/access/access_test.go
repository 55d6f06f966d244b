package access

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/recipes"
)

// tokenFile makes a file with a token of each role, which it gives by role.
func tokenFile(t *testing.T) (string, map[Role]string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens.toml")
	tokens := map[Role]string{}
	for _, role := range Roles {
		token, err := Add(path, "of-"+string(role), role)
		if err != nil {
			t.Fatal(err)
		}
		tokens[role] = token
	}
	return path, tokens
}

func load(t *testing.T, path string) *Tokens {
	t.Helper()
	tokens, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func TestTokenFile(t *testing.T) {
	path, tokens := tokenFile(t)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	text, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(text), tokens[Build]) || !strings.HasPrefix(tokens[Build], "rbt_") || len(tokens[Build]) != 47 {
		t.Errorf("token %q, %v", tokens[Build], err)
	}
	loaded := load(t, path)
	if found, ok := lookUp(loaded.List(), tokens[Build]); !ok || found.Name != "of-build" || found.Role != "build" || time.Since(found.Created) > time.Minute {
		t.Errorf("found %+v, %t", found, ok)
	}
	for _, wrong := range []string{"", "rbt_", tokens[Build] + "x", found(loaded, "of-build").SHA256} {
		if _, ok := lookUp(loaded.List(), wrong); ok {
			t.Errorf("%q is a token", wrong)
		}
	}
	if _, err := Add(path, "of-read", Read); err == nil || !strings.Contains(err.Error(), "there is one of that name") {
		t.Errorf("added twice: %v", err)
	}
	if err := Remove(path, "nobody"); err == nil {
		t.Error("removed one that is not there")
	}
	if err := Remove(path, "of-build"); err != nil || len(load(t, path).List()) != 2 {
		t.Errorf("not removed: %v", err)
	}
	if _, err := Load(path + "x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

func found(t *Tokens, name string) Token {
	for _, token := range t.List() {
		if token.Name == name {
			return token
		}
	}
	return Token{}
}

func TestTokenFileWithErrors(t *testing.T) {
	sum := strings.Repeat("a", 64)
	for want, text := range map[string]string{
		":1: ":                     "[[token",
		":3: role \"root\"":        "[[token]]\nname=\"a\"\nrole=\"root\"\nsha256=\"" + sum + "\"",
		":2: \"a b\" is no name":   "[[token]]\nname=\"a b\"\nrole=\"read\"\nsha256=\"" + sum + "\"",
		":2: the name \"local\"":   "[[token]]\nname=\"local\"\nrole=\"read\"\nsha256=\"" + sum + "\"",
		":4: token \"a\" has no":   "[[token]]\nname=\"a\"\nrole=\"read\"\nsha256=\"12\"",
		"unknown key \"rolle\"":    "[[token]]\nrolle=\"read\"",
		"token \"a\" is listed tw": strings.Repeat("[[token]]\nname=\"a\"\nrole=\"read\"\nsha256=\""+sum+"\"\n", 2),
	} {
		path := filepath.Join(t.TempDir(), "t.toml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path)
		if problems := (recipes.Problems{}); !errors.As(err, &problems) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	path, _ := tokenFile(t)
	if err := os.Chmod(path, 0o620); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file that others may write: %v", err)
	}
}

// whoami answers with the identity of a request.
var whoami = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	id := From(r.Context())
	_, _ = io.WriteString(w, id.Name+"/"+string(id.Role))
})

func TestIdentify(t *testing.T) {
	path, tokens := tokenFile(t)
	for _, c := range []struct {
		name, header string
		open         bool
		status       int
		body         string
	}{
		{"nobody", "", false, 200, "/"},
		{"nobody where reads are open", "", true, 200, "/read"},
		{"a token", "Bearer " + tokens[Build], false, 200, "of-build/build"},
		{"the scheme in small letters", "bearer " + tokens[Admin], true, 200, "of-admin/admin"},
		{"a wrong token", "Bearer rbt_x", false, 401, "no such token"},
		{"a wrong token where reads are open", "Bearer rbt_x", true, 401, "no such token"},
		{"another scheme", "Basic " + tokens[Read], false, 401, "no such token"},
		{"no token", "Bearer", false, 401, "no such token"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := New(GuardOptions{Tokens: load(t, path), Open: c.open}).Identify(whoami)
			r := httptest.NewRequest("GET", "/", nil)
			if c.header != "" {
				r.Header.Set("Authorization", c.header)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.body) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			var problem struct{ Status int }
			if c.status == 401 && (!strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Bearer ") ||
				w.Header().Get("Content-Type") != "application/problem+json" || json.Unmarshal(w.Body.Bytes(), &problem) != nil || problem.Status != 401) {
				t.Errorf("%v %s", w.Header(), w.Body)
			}
		})
	}
}

func TestRequire(t *testing.T) {
	ctx := func(name string, r Role) context.Context { return With(context.Background(), Identity{name, r}) }
	if err := Require(ctx("a", Admin), Build); err != nil {
		t.Error(err)
	}
	var unauthorized *UnauthorizedError
	if err := Require(ctx("", Read), Build); !errors.As(err, &unauthorized) || unauthorized.Wanted != Build {
		t.Error(err)
	}
	var forbidden *ForbiddenError
	if err := Require(ctx("a", Read), Build); !errors.As(err, &forbidden) || *forbidden != (ForbiddenError{Build, Read}) {
		t.Error(err)
	}
}

func TestWrongTokensAreCounted(t *testing.T) {
	path, tokens := tokenFile(t)
	h := New(GuardOptions{Tokens: load(t, path)}).Identify(whoami)
	ask := func(address, token string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = address
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	for i := range allowedFailures {
		if w := ask("[2001:db8::1]:1", "x"); w.Code != 401 {
			t.Fatalf("attempt %d: %d", i, w.Code)
		}
	}
	if w := ask("[2001:db8::2]:1", "x"); w.Code != 429 || w.Header().Get("Retry-After") == "" {
		t.Errorf("of the same network: %d", w.Code)
	}
	if w := ask("[2001:db8:0:1::1]:1", "x"); w.Code != 401 {
		t.Errorf("of another network: %d", w.Code)
	}
	if w := ask("[2001:db8::1]:1", tokens[Read]); w.Code != 200 {
		t.Errorf("the right token: %d", w.Code)
	}
	var f failures
	now := time.Now()
	for i := range 3 * rememberedAddresses {
		f.count(string(rune(i)), now)
	}
	if len(f.addresses) > rememberedAddresses {
		t.Errorf("%d addresses are remembered", len(f.addresses))
	}
}

func TestSession(t *testing.T) {
	path, tokens := tokenFile(t)
	all := load(t, path)
	g := New(GuardOptions{Tokens: all, TLS: true})
	w := httptest.NewRecorder()
	var unauthorized *UnauthorizedError
	if err := g.Login(w, httptest.NewRequest("POST", "/login", nil), "rbt_x"); !errors.As(err, &unauthorized) || len(w.Result().Cookies()) != 0 {
		t.Fatalf("a wrong token: %v", err)
	}
	w = httptest.NewRecorder()
	if err := g.Login(w, httptest.NewRequest("POST", "/login", nil), tokens[Build]); err != nil {
		t.Fatal(err)
	}
	cookie := w.Result().Cookies()[0]
	if !cookie.HttpOnly || !cookie.Secure || cookie.SameSite != http.SameSiteStrictMode || cookie.MaxAge != 12*60*60 || strings.Contains(cookie.Value, tokens[Build]) {
		t.Errorf("%+v", cookie)
	}
	ask := func(g *Guard, method, value string, header ...string) (int, string) {
		r := httptest.NewRequest(method, "http://here.example/", nil)
		r.AddCookie(&http.Cookie{Name: cookie.Name, Value: value})
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		g.Identify(whoami).ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	for _, c := range []struct {
		name, method, value string
		header              []string
		status              int
		body                string
	}{
		{"good", "GET", cookie.Value, nil, 200, "of-build/build"},
		{"a form of the page", "POST", cookie.Value, []string{"Origin", "http://here.example"}, 200, "of-build/build"},
		{"a form elsewhere", "POST", cookie.Value, []string{"Origin", "http://there.example"}, 403, "another site"},
		{"a form of a sandbox", "POST", cookie.Value, []string{"Origin", "null"}, 403, "another site"},
		{"a form elsewhere, in a new browser", "POST", cookie.Value, []string{"Sec-Fetch-Site", "same-site"}, 403, "another site"},
		{"a token from elsewhere", "POST", "", []string{"Origin", "http://there.example", "Authorization", "Bearer " + tokens[Read]}, 200, "of-read/read"},
		{"changed", "GET", "A" + cookie.Value, nil, 200, "/"},
		{"cut", "GET", strings.Split(cookie.Value, ".")[0], nil, 200, "/"},
		{"nonsense", "GET", "%%%", nil, 200, "/"},
	} {
		if status, body := ask(g, c.method, c.value, c.header...); status != c.status || !strings.Contains(body, c.body) {
			t.Errorf("%s: %d %s", c.name, status, body)
		}
	}
	if _, body := ask(New(GuardOptions{Tokens: all, TLS: true}), "GET", cookie.Value); body != "/" {
		t.Errorf("after a restart: %s", body)
	}
	if err := Remove(path, "of-build"); err != nil {
		t.Fatal(err)
	}
	all.checked = time.Time{}
	if _, body := ask(g, "GET", cookie.Value); body != "/" {
		t.Errorf("after the token was removed: %s", body)
	}
}

func TestLogout(t *testing.T) {
	w := httptest.NewRecorder()
	New(GuardOptions{}).Logout(w, nil)
	if c := w.Result().Cookies()[0]; c.MaxAge >= 0 || c.Value != "" || c.Secure {
		t.Errorf("%+v", c)
	}
}

func TestServer(t *testing.T) {
	g := New(GuardOptions{})
	var failed error
	server := Server(g.Identify(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			_, failed = io.Copy(io.Discard, r.Body)
		}
		http.NewResponseController(w).Flush() //nolint:errcheck // the test sees it
		whoami(w, r)
	})))
	socket := filepath.Join(t.TempDir(), "s")
	unix, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(unix)                     //nolint:errcheck // ends with Close
	go server.Serve(LimitConnections(tcp, 0)) //nolint:errcheck // ends with Close
	defer server.Close()
	over := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", socket) }}}
	defer over.CloseIdleConnections()
	for want, get := range map[string]func(string) (*http.Response, error){"local/admin": over.Get, "/": http.Get} {
		resp, err := get((&url.URL{Scheme: "http", Host: tcp.Addr().String()}).String())
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(body) != want || err != nil {
			t.Errorf("got %s, %v, want %s", body, err, want)
		}
		if resp.Header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(resp.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("headers %v", resp.Header)
		}
	}
	resp, err := http.Post("http://"+tcp.Addr().String(), "", io.LimitReader(zeros{}, bodyLimit+1))
	if err == nil {
		resp.Body.Close()
	}
	if large := (*http.MaxBytesError)(nil); !errors.As(failed, &large) {
		t.Errorf("a large body: %v", failed)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestLimitConnections(t *testing.T) {
	l := &limited{most: 2, open: map[string]int{}}
	for i, c := range []struct {
		address string
		room    bool
	}{{"a", true}, {"a", true}, {"a", false}, {"b", true}} {
		if l.take(c.address, 2) != c.room {
			t.Errorf("connection %d of %s is wrongly counted", i, c.address)
		}
	}
	l.give("a")
	if !l.take("a", 2) {
		t.Error("there is no room after one has gone")
	}
	l.give("b")
	if len(l.open) != 1 {
		t.Errorf("%v", l.open)
	}
}
