package service

import (
	"context"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/riscv-build/riscv-build/builder/service/access"
	"github.com/riscv-build/riscv-build/tests/rig"
)

// wanted is the role that an operation must want, whatever the document says.
func wanted(t *testing.T, o operation) access.Role {
	t.Helper()
	switch {
	case o.path == "/healthz", strings.HasPrefix(o.path, "/webhooks/"):
		return access.Nobody
	case o.method == http.MethodGet:
		return access.Read
	case strings.HasPrefix(o.path, api+"/builds"), strings.HasPrefix(o.path, api+"/outdated"):
		return access.Build
	case strings.HasPrefix(o.path, api+"/schedules"):
		return access.Admin
	}
	t.Errorf("%s is new: say here who may ask for it", o)
	return access.Admin
}

// some fills a path with something that there may be.
func some(p *openapi3.Parameter) string {
	switch {
	case p.Name == "id":
		return "1"
	case p.Schema != nil && p.Schema.Value != nil && len(p.Schema.Value.Enum) > 0:
		return fmt.Sprint(p.Schema.Value.Enum[0])
	}
	return "busybox"
}

// TestLineServiceF: nobody does what their role does not allow.
func TestLineServiceF(t *testing.T) {
	d := startDaemon(t, daemonOptions{})
	all := operations(t, d.document())
	refused, allowed := d.walk(all, false)
	figure(t, "F, operations refused without their role", fmt.Sprintf("%d of %d operations refused in %d ways, %d ways let through", len(all)-2, len(all), refused, allowed), "all but health and signed webhooks", !t.Failed())
	t.Run("an invented token", func(t *testing.T) {
		d.tokens["invented"] = strings.Repeat("x", 43)
		for _, o := range all {
			if wanted(t, o) == access.Nobody {
				continue
			}
			// After some wrong ones it does not even look.
			if a := d.call("invented", o.method, o.filled(some), nil); a.status != http.StatusUnauthorized && a.status != http.StatusTooManyRequests {
				t.Errorf("%s: %s", o, a)
			}
		}
	})
	t.Run("a webhook without signature", func(t *testing.T) {
		if a := d.call(nobody, http.MethodPost, "/webhooks/recipes", map[string]any{"ref": "refs/heads/main"}); a.status != http.StatusUnauthorized {
			t.Errorf("got %s", a)
		}
	})
	t.Run("pages", func(t *testing.T) { refusesPages(t, d) })
	t.Run("other sites", func(t *testing.T) { refusesOtherSites(t, d) })
	t.Run("--open opens reads only", func(t *testing.T) {
		open := startDaemon(t, daemonOptions{Flags: []string{"--open"}})
		open.walk(all, true)
	})
	t.Run("plain HTTP for others", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		for _, addr := range []string{"0.0.0.0", "", "[::]"} {
			args := []string{"serve", "--state-dir", t.TempDir(), "--token-file", d.tokenFile, "--addr", fmt.Sprintf("%s:%d", addr, rig.FreePort(t))}
			if r := rig.Run(ctx, nil, args...); r.Code != 2 || !strings.Contains(r.Stderr, "--insecure-http") {
				t.Errorf("serve at %q: exit code %d, want 2 and a word about --insecure-http\n%s", addr, r.Code, r.Stderr)
			}
		}
	})
	if n := len(d.builds()); n != 0 {
		t.Errorf("there are %d builds that nobody was allowed to ask for", n)
	}
}

// walk asks for every operation as everybody, and counts.
func (d *daemon) walk(all []operation, open bool) (refused, allowed int) {
	d.t.Helper()
	for _, o := range all {
		want := wanted(d.t, o)
		if role := o.Extensions["x-role"]; want != access.Nobody && fmt.Sprint(role) != string(want) {
			d.t.Errorf("%s says that it wants the role %v, not %q", o, role, want)
		}
		if open && o.method == http.MethodGet {
			want = access.Nobody
		}
		for _, who := range []string{nobody, reader, maker, admin} {
			status := http.StatusForbidden
			if who == nobody {
				status = http.StatusUnauthorized
			}
			if access.Role(who).Allows(want) {
				// What changes something is asked for by other tests.
				if o.method == http.MethodGet {
					if a := d.call(who, o.method, o.filled(some), nil); a.status == http.StatusUnauthorized || a.status == http.StatusForbidden || a.status >= 500 {
						d.t.Errorf("%s as %q: %s", o, who, a)
					}
					allowed++
				}
				continue
			}
			for _, body := range []any{nil, []byte(`{"recipes":["busybox"]}`), []byte("{")} {
				if o.method == http.MethodGet && body != nil {
					continue
				}
				a := d.call(who, o.method, o.filled(some), body)
				if a.status != status || !strings.HasPrefix(a.header.Get("Content-Type"), "application/problem+json") {
					d.t.Errorf("%s as %q: %s, want %d", o, who, a, status)
				}
				refused++
			}
		}
	}
	return refused, allowed
}

// pages are those that are not for everybody.
var pages = []string{"/", "/builds/1", "/recipes", "/registry", "/outdated", "/schedules"}

// refusesPages holds that pages show nothing to somebody without a token.
func refusesPages(t *testing.T, d *daemon) {
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, path := range pages {
		resp, err := client.Get("http://" + d.addr + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		toLogin := resp.StatusCode/100 == 3 && strings.HasPrefix(resp.Header.Get("Location"), "/login")
		if !toLogin && resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("GET %s without a token: %s to %q", path, resp.Status, resp.Header.Get("Location"))
		}
	}
}

// refusesOtherSites holds that a page of somebody else cannot use the session of
// a visitor.
func refusesOtherSites(t *testing.T, d *daemon) {
	client := d.session(maker)
	for name, header := range map[string]http.Header{
		"a browser that says so": {"Sec-Fetch-Site": {"cross-site"}},
		"an older browser":       {"Origin": {"http://evil.example"}},
		"a frame without origin": {"Origin": {"null"}},
	} {
		for _, path := range []string{"/builds", api + "/builds"} {
			body := "recipe=busybox"
			if path != "/builds" {
				body = `{"recipes":["busybox"]}`
			}
			req, err := http.NewRequest(http.MethodPost, "http://"+d.addr+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header = header.Clone()
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if path != "/builds" {
				req.Header.Set("Content-Type", "application/json")
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusForbidden && resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s posts to %s: %s", name, path, resp.Status)
			}
		}
	}
	resp, err := client.Get("http://" + d.addr + "/recipes")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if policy := resp.Header.Get("Content-Security-Policy"); resp.StatusCode != http.StatusOK || !strings.Contains(policy, "default-src 'self'") || !strings.Contains(policy, "frame-ancestors 'none'") {
		t.Errorf("a page with a session: %s, Content-Security-Policy %q", resp.Status, policy)
	}
}

// session is a browser's session of somebody who has logged in.
func (d *daemon) session(token string) *http.Client {
	d.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		d.t.Fatal(err)
	}
	client := &http.Client{Jar: jar, Timeout: time.Minute}
	resp, err := client.PostForm("http://"+d.addr+"/login", url.Values{"token": {d.tokens[token]}, "next": {"/"}})
	if err != nil {
		d.t.Fatal(err)
	}
	resp.Body.Close()
	at, _ := url.Parse("http://" + d.addr + "/")
	cookies := jar.Cookies(at)
	if resp.StatusCode != http.StatusOK || len(cookies) == 0 {
		d.t.Fatalf("logging in: %s, %d cookies", resp.Status, len(cookies))
	}
	for _, c := range cookies {
		if strings.Contains(c.Value, d.tokens[token]) {
			d.t.Errorf("the cookie %s is the token itself", c.Name)
		}
	}
	return client
}
