package service

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/tests/rig"
)

// tooled is a state directory that tests share in which recipes are compiled:
// the compiler is fetched and unpacked once.
func tooled() string { return filepath.Join(rig.Work, "tooled") }

// offered is a directory with a recipe that talks while it is built.
func offered(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	written(t, dir, script("talker", fmt.Sprintf("for i in 1 2 3 4 5 6 7 8; do echo \"line $i of %d\"; sleep 1; done; echo text >$DESTDIR/result", os.Getpid())))
	return dir
}

// TestLineServiceA: somebody with a browser logs in, starts a build, watches it
// and finds its image; all pages are looked at in both sizes, languages and colours.
func TestLineServiceA(t *testing.T) {
	d := startDaemon(t, daemonOptions{State: tooled(), Flags: []string{"--recipes", offered(t)}})
	b := openBrowser(t, d)
	b.open("/recipes") // leads to the login, and back
	b.until(20*time.Second, "the login", "document.querySelector('#token') === document.activeElement")
	b.looks("login", "en", false)
	b.press(d.tokens[admin] + kb.Enter)
	b.until(20*time.Second, "the page after the login", "location.pathname === '/recipes' && document.querySelector('form[action=\"/logout\"]')")

	build := b.startByKeys("talker")
	b.watch(build, "line 3 of ", "line 8 of ")
	if rig.Full {
		b.watch(b.startByKeys("busybox"), "", "")
	}
	b.open("/registry")
	if !ask[bool](b, "document.querySelector('main').innerText.includes('talker')") {
		time.Sleep(6 * time.Second) // a list of what it holds is five seconds old at most
		b.open("/registry")
	}
	if text := ask[string](b, "document.querySelector('main').innerText"); !strings.Contains(text, "talker") || !strings.Contains(text, "riscv64") {
		t.Errorf("the registry view does not show talker for riscv64:\n%s", text)
	}
	shown := b.everyPage(build)
	b.withoutScript(build)
	withoutBrowser(t, d, build)
	b.mu.Lock()
	defer b.mu.Unlock()
	figure(t, "A, in a browser", fmt.Sprintf("%d screenshots in %s, %d requests elsewhere, %d complaints", shown, b.shots, len(b.elsewhere), len(b.complaints)), "0, 0", len(b.elsewhere)+len(b.complaints) == 0)
	if len(b.elsewhere)+len(b.complaints) > 0 {
		t.Errorf("elsewhere: %q\nconsole: %q", b.elsewhere, b.complaints)
	}
}

// startByKeys starts a build with the keyboard alone, and gives its number.
func (b *browser) startByKeys(recipe string) int64 {
	b.t.Helper()
	before := b.newest()
	b.open("/")
	b.tabTo("#recipe")
	b.press(recipe)
	b.press(kb.Escape) // the list of suggestions
	b.tabTo("form[action=\"/builds\"] button.main")
	b.press(kb.Enter)
	b.until(30*time.Second, "what follows a submission", "!document.querySelector('#recipe') || document.querySelector('[role=alert]')")
	id := b.newest()
	if id == before {
		b.t.Fatalf("Enter on the button started nothing:\n%s", b.seen())
	}
	return id
}

func (b *browser) newest() int64 {
	b.t.Helper()
	if all := b.d.builds(); len(all) > 0 {
		return all[0].ID
	}
	return 0
}

// watch looks at the page of a build until it has ended. It is never loaded again.
func (b *browser) watch(id int64, early, late string) {
	b.t.Helper()
	if at := ask[string](b, "location.pathname"); at != fmt.Sprintf("/builds/%d", id) {
		b.open(fmt.Sprintf("/builds/%d", id))
	}
	ask[bool](b, "window.stays = true")
	if early != "" {
		b.until(10*time.Minute, "the log, live", fmt.Sprintf("document.querySelector('#log').textContent.includes(%q)", early))
		if b.d.build(id).Status == service.Running {
			b.shot("build-live", 1280)
			b.shot("build-live", 390)
		}
		b.until(time.Minute, "the rest of the log", fmt.Sprintf("document.querySelector('#log').textContent.includes(%q)", late))
	}
	ended := b.d.succeed(id, 20*time.Minute)
	b.until(20*time.Second, "the end on the page", "document.querySelector('#live .badge.succeeded')")
	if !ask[bool](b, "window.stays === true") {
		b.t.Errorf("the page of build %d was loaded again", id)
	}
	if d := ended.Result.Digest.String(); !ask[bool](b, fmt.Sprintf("document.body.textContent.includes(%q)", d)) {
		b.t.Errorf("the page of build %d does not show %s", id, d)
	}
}

// everyPage looks at all pages in all ways, and counts.
func (b *browser) everyPage(build int64) (shown int) {
	b.t.Helper()
	ways := []struct {
		lang string
		dark bool
	}{{"en", false}, {"zh-CN", true}}
	if rig.Full {
		ways = append(ways, ways[0], ways[1])
		ways[2].dark, ways[3].dark = true, false
	}
	paths := map[string]string{
		"builds": "/", "filtered": "/?status=succeeded", "build": fmt.Sprintf("/builds/%d", build), "recipes": "/recipes", "registry": "/registry",
		"outdated": "/outdated", "schedules": "/schedules", "missing": "/builds/999999",
	}
	for _, way := range ways {
		b.dark(way.dark)
		b.open("/")
		ask[bool](b, fmt.Sprintf("window.before = true, document.querySelector('form[action=\"/language\"] button[value=%q]').click(), true", way.lang))
		b.until(20*time.Second, "the page in "+way.lang, fmt.Sprintf("!window.before && document.documentElement.lang === %q && document.querySelector('h1')", way.lang))
		for name, path := range paths {
			complaints := b.heard()
			b.open(path)
			b.looks(name, way.lang, way.dark)
			shown += 2
			if name == "missing" { // a browser tells of every 404
				b.mu.Lock()
				b.complaints = complaints
				b.mu.Unlock()
			}
		}
	}
	b.dark(false)
	return shown
}

func (b *browser) heard() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.complaints)
}

// looks looks at a page as it is, in two sizes.
func (b *browser) looks(name, lang string, dark bool) {
	b.t.Helper()
	colours := "light"
	if dark {
		colours = "dark"
	}
	what := fmt.Sprintf("%s-%s-%s", name, lang, colours)
	for _, width := range []int64{1280, 390} {
		b.shot(what, width)
		if wide := ask[int](b, "document.documentElement.scrollWidth"); int64(wide) > width {
			b.t.Errorf("%s at %d pixels is %d wide: it scrolls sideways", what, width, wide)
		}
	}
	if got := ask[string](b, "document.documentElement.lang"); got != lang {
		b.t.Errorf("%s is in %q", what, got)
	}
	if n := ask[int](b, "document.querySelectorAll('h1').length"); n != 1 {
		b.t.Errorf("%s has %d headings of the first level", what, n)
	}
	unnamed := ask[string](b, `[...document.querySelectorAll('input:not([type=hidden]), select, textarea, button, a')].filter(e => !e.closest("[hidden]") && !(e.labels?.length || e.ariaLabel || e.textContent.trim() || e.querySelector('img[alt]:not([alt=""])'))).map(e => e.outerHTML.slice(0, 100)).join('\n')`)
	if unnamed != "" {
		b.t.Errorf("%s has parts without a name: %s", what, unnamed)
	}
	if light := ask[int](b, `(() => { const c = getComputedStyle(document.body).backgroundColor, m = c.match(/\d+(\.\d+)?/g).map(Number); return m.length > 3 && m[3] === 0 ? (matchMedia('(prefers-color-scheme: dark)').matches ? 0 : 255) : Math.round((m[0] + m[1] + m[2]) / 3); })()`); (light < 128) != dark {
		b.t.Errorf("%s has a background of %d of 255", what, light)
	}
	b.do("a wide page again", wide())
}

// withoutScript looks at pages as a browser shows them that runs no script.
func (b *browser) withoutScript(build int64) {
	b.t.Helper()
	b.scripts(false)
	defer b.scripts(true)
	for name, path := range map[string]string{"builds-noscript": "/", "build-noscript": fmt.Sprintf("/builds/%d", build)} {
		b.open(path)
		b.shot(name, 1280)
		b.shot(name, 390)
	}
}

// withoutBrowser does the same by what is in the pages and by plain forms.
func withoutBrowser(t *testing.T, d *daemon, build int64) {
	t.Helper()
	client := d.session(maker)
	read := func(resp *http.Response, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s, %v", resp.Request.URL, resp.Status, err)
		}
		return string(text)
	}
	page := read(client.Get(fmt.Sprintf("http://%s/builds/%d", d.addr, build)))
	for _, want := range []string{"line 8 of ", "succeeded", "<h1>"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page of a build does not have %q without script", want)
		}
	}
	before := d.builds()[0].ID
	page = read(client.PostForm("http://"+d.addr+"/builds", url.Values{"recipe": {"talker"}}))
	after := d.builds()[0]
	if after.ID == before || after.Recipe != "talker" || after.Client != maker || !strings.Contains(page, "talker") {
		t.Errorf("the form started nothing: the newest build is %d of %s by %s", after.ID, after.Recipe, after.Client)
	}
	d.succeed(after.ID, 10*time.Minute)
}
