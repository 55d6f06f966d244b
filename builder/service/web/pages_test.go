package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/builder/service/access"
)

// newSite is the pages of a fake.
func newSite(t *testing.T, f *fake) http.Handler {
	t.Helper()
	s, err := prepare(Options{
		Service: f, Registry: fakeRegistry{f}, Version: "v1.0.0",
		Login: func(w http.ResponseWriter, _ *http.Request, token string) error {
			if token != "right" {
				return errors.New("no such token")
			}
			http.SetCookie(w, &http.Cookie{Name: "session", Value: "1"})
			return nil
		},
		Logout: func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Clear-Site-Data", `"cookies"`) },
	})
	if err != nil {
		t.Fatal(err)
	}
	s.now = func() time.Time { return clock }
	return s.routes()
}

// get asks for a page, post sends a form.
func get(h http.Handler, role access.Role, path, language string) *httptest.ResponseRecorder {
	return do(h, role, httptest.NewRequest("GET", path, nil), language)
}

func post(h http.Handler, role access.Role, path string, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return do(h, role, r, "en")
}

func do(h http.Handler, role access.Role, r *http.Request, language string) *httptest.ResponseRecorder {
	r.Header.Set("Accept-Language", language)
	if role != access.Nobody {
		r = r.WithContext(access.With(r.Context(), access.Identity{Name: "alice", Role: role}))
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// paths are all pages.
var paths = []string{
	"/", "/?status=failed&recipe=redis", "/?before=3", "/builds/1", "/builds/2", "/builds/3", "/builds/4", "/recipes", "/recipes?q=http", "/registry", "/outdated",
	"/schedules", "/schedules/nightly", "/login", "/language?back=/recipes", "/nowhere",
}

func TestPages(t *testing.T) {
	h := newSite(t, newFake(120))
	for _, path := range paths {
		for _, language := range []string{"en", "zh-CN"} {
			w := get(h, access.Admin, path, language)
			want := http.StatusOK
			if path == "/nowhere" {
				want = http.StatusNotFound
			}
			if w.Code != want {
				t.Errorf("%s: status %d", path, w.Code)
			}
			page := w.Body.String()
			if !strings.Contains(page, `<html lang="`+language+`">`) {
				t.Errorf("%s: not in %s", path, language)
			}
			if strings.Contains(page, "<script>") || strings.Contains(page, "<img src=x") || strings.Contains(page, "\x1b") || strings.Contains(page, "%!") {
				t.Errorf("%s: something is not escaped, or not formatted", path)
			}
			if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'self'") {
				t.Errorf("%s: policy %q", path, csp)
			}
			inspect(t, path+" "+language, page)
		}
	}
}

// void are elements without an end.
var void = map[string]bool{"meta": true, "link": true, "input": true, "img": true, "br": true}

// inspect reports what is wrong with a page: elements that are not closed,
// script and style in it, inputs without a label, headings out of order, ids
// that are there twice, keys of messages instead of messages.
func inspect(t *testing.T, what, page string) {
	t.Helper()
	z := html.NewTokenizer(strings.NewReader(strings.ReplaceAll(page, "noscript>", "div>"))) // as without script
	var open, controls []string
	ids, labelled := map[string]bool{}, map[string]bool{}
	heading := 0
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			break
		}
		tok := z.Token()
		attr := map[string]string{}
		for _, a := range tok.Attr {
			attr[a.Key] = a.Val
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" {
				t.Errorf("%s: <%s> has %s", what, tok.Data, a.Key)
			}
		}
		switch kind {
		case html.StartTagToken:
			if !void[tok.Data] {
				open = append(open, tok.Data)
			}
			if tok.Data == "style" || tok.Data == "script" && attr["src"] == "" {
				t.Errorf("%s: <%s> in the page", what, tok.Data)
			}
			if id := attr["id"]; id != "" {
				if ids[id] {
					t.Errorf("%s: id %q twice", what, id)
				}
				ids[id] = true
			}
			switch tok.Data {
			case "label":
				labelled[attr["for"]] = true
			case "input", "select", "textarea":
				inLabel := strings.Contains(strings.Join(open, " "), "label")
				if attr["type"] != "hidden" && !inLabel && attr["aria-label"] == "" {
					controls = append(controls, attr["id"])
				}
			case "h1", "h2", "h3":
				level := int(tok.Data[1] - '0')
				if level > heading+1 {
					t.Errorf("%s: <%s> after level %d", what, tok.Data, heading)
				}
				heading = level
			case "img":
				if _, ok := attr["alt"]; !ok {
					t.Errorf("%s: an image without alt", what)
				}
			}
		case html.EndTagToken:
			if len(open) == 0 || open[len(open)-1] != tok.Data {
				t.Fatalf("%s: </%s> closes %v", what, tok.Data, open)
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Errorf("%s: not closed: %v", what, open)
	}
	for _, c := range controls {
		if c == "" || !labelled[c] {
			t.Errorf("%s: the input %q has no label", what, c)
		}
	}
	if m := regexp.MustCompile(`>(col|build|status|step|stage|nav|when|use|role|cause|origin|error)\.[a-z.0-9]+<`).FindString(page); m != "" {
		t.Errorf("%s: a message is missing: %s", what, m)
	}
}

func TestBuildPage(t *testing.T) {
	h := newSite(t, newFake(0))
	running := get(h, access.Build, "/builds/2", "en").Body.String()
	for _, want := range []string{
		`data-events="/api/v1/builds/2/events"`, "data-active", "file899.c", "41 steps", "/builds/2/cancel", "6 minutes ago", "5 min 0 s", "of no step", "sources that are loaded", "700 lines above",
	} {
		if !strings.Contains(running, want) {
			t.Errorf("the page of a running build has no %q", want)
		}
	}
	part := get(h, access.Build, "/builds/2?part=live", "en").Body.String()
	if !strings.HasPrefix(strings.TrimSpace(part), `<div id="live"`) || strings.Contains(part, "<html") {
		t.Errorf("the changing part begins with %.80q", part)
	}
	done := get(h, access.Read, "/builds/3", "en").Body.String()
	for _, want := range []string{"docker pull 192.168.1.5:6000/riscv64/nginx:1.26.3", "docker pull 192.168.1.5:6000/riscv64/nginx:latest", "2 layers, 29.6 MB", "2 passed", "1 failed", "8 min 0 s", "artefacts/lock", "artefacts/report"} {
		if !strings.Contains(done, want) {
			t.Errorf("the page of a build that succeeded has no %q", want)
		}
	}
	same := get(h, access.Build, "/builds/4", "en").Body.String()
	for _, want := range []string{
		`data-events="/api/v1/builds/2/events"`, `data-poll="/builds/4?part=live"`, "file899.c", "41 steps", "/builds/4/cancel", `<a href="/builds/2">Open build #2</a>`, "/api/v1/builds/2/log", "and 37 more",
	} {
		if !strings.Contains(same, want) {
			t.Errorf("the page of a build that is the same as another has no %q", want)
		}
	}
	if strings.Contains(done, "data-events") || strings.Contains(done, "/retry") || strings.Contains(done, `href="/api/v1/builds/3/graph"`) {
		t.Error("the page of a build that is over still listens, or offers to somebody what they may not do")
	}
}

func TestRoles(t *testing.T) {
	f := newFake(0)
	h := newSite(t, f)
	for _, tt := range []struct {
		path string
		role access.Role // that is not enough
	}{
		{"/builds", access.Read}, {"/builds/2/cancel", access.Read}, {"/builds/3/retry", access.Read}, {"/outdated", access.Read},
		{"/schedules", access.Build}, {"/schedules/web/pause", access.Build}, {"/schedules/web/resume", access.Build}, {"/schedules/web/delete", access.Build},
	} {
		w := post(h, tt.role, tt.path, url.Values{"recipe": {"nginx"}})
		if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "You may not do this") {
			t.Errorf("POST %s as %s: status %d", tt.path, tt.role, w.Code)
		}
		if w := post(h, access.Nobody, tt.path, nil); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/login?next=%2F" {
			t.Errorf("POST %s as nobody: status %d to %q", tt.path, w.Code, w.Header().Get("Location"))
		}
	}
	for _, path := range []string{"/", "/builds/2", "/recipes", "/outdated"} {
		if page := get(h, access.Read, path, "en").Body.String(); strings.Count(page, `method="post"`) != 2 { // language, logout
			t.Errorf("%s offers something to one who may only read", path)
		}
	}
	if page := get(h, access.Build, "/schedules", "en").Body.String(); strings.Contains(page, `action="/schedules`) {
		t.Error("/schedules offers something to one who may only build")
	}
	if len(f.submitted)+len(f.put)+len(f.calls) > 0 {
		t.Error("something was done that should have been refused")
	}
	if w := get(h, access.Nobody, "/builds/3?x=1", "en"); w.Header().Get("Location") != "/login?next=%2Fbuilds%2F3%3Fx%3D1" {
		t.Errorf("nobody is sent to %q", w.Header().Get("Location"))
	}
}

func TestForms(t *testing.T) {
	f := newFake(0)
	h := newSite(t, f)
	for _, tt := range []struct {
		path string
		form url.Values
		to   string
	}{
		{"/builds", url.Values{"recipe": {" nginx, redis "}, "push": {"a:1 b:2"}, "changed": {"on"}}, "/"},
		{"/builds", url.Values{"recipe": {"nginx"}, "update": {"on"}}, "/builds/7"},
		{"/builds/2/cancel", nil, "/builds/2"},
		{"/builds/3/retry", nil, "/builds/1003"},
		{"/outdated", nil, "/outdated"},
		{"/schedules", url.Values{"name": {"new"}, "cron": {"@daily"}, "recipes": {"nginx redis"}, "when": {"security"}, "update": {"on"}}, "/schedules"},
		{"/schedules", url.Values{"edits": {"on"}, "name": {"web"}, "cron": {"@daily"}, "recipes": {"*"}, "when": {"always"}}, "/schedules"},
		{"/schedules/nightly/pause", nil, "/schedules"},
		{"/schedules/web/delete", nil, "/schedules"},
		{"/language", url.Values{"lang": {"zh-CN"}, "back": {"/recipes"}}, "/recipes"},
		{"/language", url.Values{"lang": {"xx"}, "back": {"//evil.example"}}, "/"},
		{"/logout", nil, "/login"},
		{"/login", url.Values{"token": {"right"}, "next": {"/builds/3"}}, "/builds/3"},
		{"/login", url.Values{"token": {"right"}, "next": {`/\evil.example`}}, "/"},
	} {
		w := post(h, access.Admin, tt.path, tt.form)
		if w.Code != http.StatusSeeOther || w.Header().Get("Location") != tt.to {
			t.Errorf("POST %s: status %d to %q", tt.path, w.Code, w.Header().Get("Location"))
		}
	}
	if got := fmt.Sprintf("%+v", f.submitted[0]); !strings.Contains(got, "Recipes:[nginx redis]") || !strings.Contains(got, "Push:[a:1 b:2]") ||
		!f.submitted[0].Options.Changed || f.submitted[0].Client != "alice" || !f.submitted[1].Options.Update {
		t.Errorf("submitted: %s", got)
	}
	if got := strings.Join(f.calls, "; "); got != "cancel 2 by alice; retry 3 by alice; check by alice; delete web" {
		t.Errorf("calls: %s", got)
	}
	if s := f.put[1]; s.Paused || s.Cron != "@daily" || len(s.Options.Tags) != 1 {
		t.Errorf("a change of a schedule took away what the form does not show: %+v", s)
	}
	if !f.put[2].Paused {
		t.Error("a schedule was not paused")
	}
}

func TestWrongForms(t *testing.T) {
	f := newFake(0)
	f.err = &service.InvalidError{Field: "recipes", Err: errors.New("looking for the recipe \"ngnix\": <b>there is none</b>")}
	h := newSite(t, f)
	for _, tt := range []struct {
		path string
		form url.Values
		keep []string
	}{
		{"/builds", url.Values{"recipe": {"ngnix"}, "push": {"typed:1"}}, []string{`value="ngnix"`, `value="typed:1"`}},
		{"/builds", url.Values{"recipe": {"ngnix"}, "push": {"typed:1"}, "from": {"recipes"}}, []string{"<h1>Recipes", `value="typed:1"`}},
		{"/builds", url.Values{"recipe": {"ngnix"}, "from": {"outdated"}}, []string{"<h1>Outdated"}},
		{"/schedules", url.Values{"name": {"x"}, "cron": {"* *"}, "recipes": {"ngnix"}, "when": {"security"}}, []string{`value="x"`, `value="* *"`, `value="security" selected`}},
	} {
		w := post(h, access.Admin, tt.path, tt.form)
		page := w.Body.String()
		if w.Code != http.StatusUnprocessableEntity || !strings.Contains(page, "&lt;b&gt;there is none") {
			t.Errorf("POST %s: status %d", tt.path, w.Code)
		}
		for _, k := range tt.keep {
			if !strings.Contains(page, k) {
				t.Errorf("POST %s %v: no %s in the page", tt.path, tt.form, k)
			}
		}
		inspect(t, tt.path, page)
	}
	if w := post(h, access.Admin, "/schedules", url.Values{"name": {"web"}, "cron": {"@daily"}, "recipes": {"*"}}); w.Code != http.StatusConflict {
		t.Errorf("a new schedule with the name of another: status %d", w.Code)
	}
	if w := post(h, access.Admin, "/builds", url.Values{"recipe": {" "}}); w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "at least one recipe") {
		t.Errorf("a build of nothing: status %d", w.Code)
	}
	if w := post(h, access.Nobody, "/login", url.Values{"token": {"secret-guess"}}); w.Code != http.StatusUnauthorized || strings.Contains(w.Body.String(), "secret-guess") {
		t.Errorf("a wrong token: status %d", w.Code)
	}
	f.err = &service.UnavailableError{Err: errors.New("the disk is full"), After: 90 * time.Second}
	if w := post(h, access.Build, "/builds/3/retry", nil); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "90" {
		t.Errorf("not now: status %d", w.Code)
	}
	f.err = errors.New("reading /secret/path")
	if w := post(h, access.Build, "/builds", url.Values{"recipe": {"nginx"}}); w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("a mistake of the service: status %d", w.Code)
	}
	if w := post(h, access.Build, "/builds", url.Values{"recipe": {strings.Repeat("x", maxForm)}}); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a form that is too large: status %d", w.Code)
	}
}

func TestManyBuilds(t *testing.T) {
	h := newSite(t, newFake(10_000))
	for _, path := range []string{"/", "/?before=5000", "/builds/2", "/?part=live"} {
		get(h, access.Admin, path, "en")
		best := time.Hour // the machine may have other things to do now and then
		for range 10 {
			start := time.Now()
			get(h, access.Admin, path, "en")
			best = min(best, time.Since(start))
		}
		if t.Logf("%s takes %s", path, best); best > 100*time.Millisecond {
			t.Errorf("%s takes %s", path, best)
		}
	}
	if page := get(h, access.Read, "/?before=5000", "en").Body.String(); !strings.Contains(page, "/?before=4950") || !strings.Contains(page, "#4999") {
		t.Error("the list cannot be paged")
	}
}

func TestAssets(t *testing.T) {
	h := newSite(t, newFake(0))
	page := get(h, access.Nobody, "/login", "en").Body.String()
	for _, path := range regexp.MustCompile(`/assets/[a-z.0-9]+`).FindAllString(page, -1) {
		w := get(h, access.Nobody, path, "en")
		if w.Code != http.StatusOK || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") || w.Body.Len() == 0 {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
	if w := get(h, access.Nobody, "/assets/style.css", "en"); w.Code != http.StatusNotFound {
		t.Errorf("an asset without its hash: status %d", w.Code)
	}
	script, err := assetFiles.ReadFile("assets/script.js")
	if err != nil {
		t.Fatal(err)
	}
	if m := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|\.style\b|https?://`).Find(script); m != nil {
		t.Errorf("the script has %s", m)
	}
}
