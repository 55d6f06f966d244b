package service

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/riscv-build/riscv-build/tests/rig"
)

// browser is a Chromium of a test's own.
type browser struct {
	t     *testing.T
	d     *daemon
	ctx   context.Context
	shots string // directory of screenshots

	mu         sync.Mutex
	elsewhere  []string // addresses of others that a page asked for
	complaints []string // errors in the console
}

// openBrowser starts one. Screenshots go to RISCV_BUILD_SHOTS, else they are
// dropped with the test.
func openBrowser(t *testing.T, d *daemon) *browser {
	t.Helper()
	b := &browser{t: t, d: d, shots: os.Getenv("RISCV_BUILD_SHOTS")}
	if b.shots == "" {
		b.shots = t.TempDir()
	}
	if err := os.MkdirAll(b.shots, 0o755); err != nil {
		t.Fatal(err)
	}
	profile, err := os.MkdirTemp(rig.Work, "chromium-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(profile) })
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(rig.Need(t, "chromium", "chromium")), chromedp.NoSandbox, chromedp.UserDataDir(profile))
	allocated, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(allocated)
	t.Cleanup(cancel)
	b.ctx = ctx
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		t.Fatalf("starting chromium: %v", err)
	}
	b.do("listening", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		if _, err := cdp.Call(ctx, target, network.Enable, network.EnableParams{}); err != nil {
			return err
		}
		if _, err := cdp.Call(ctx, target, runtime.Enable, cdp.Empty{}); err != nil {
			return err
		}
		_, err := cdp.Call(ctx, target, cdplog.Enable, cdp.Empty{})
		return err
	}))
	return b
}

// hear notes what should not be.
func (b *browser) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if u := e.Request.URL; !strings.HasPrefix(u, "http://"+b.d.addr+"/") && !strings.HasPrefix(u, "data:") && !strings.HasPrefix(u, "about:") && !strings.HasPrefix(u, "blob:") {
			b.elsewhere = append(b.elsewhere, u)
		}
	case *runtime.EventExceptionThrown:
		b.complaints = append(b.complaints, fmt.Sprintf("exception: %s (%s:%d)", e.ExceptionDetails.Text, e.ExceptionDetails.URL, e.ExceptionDetails.LineNumber))
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError {
			b.complaints = append(b.complaints, fmt.Sprintf("console.error: %v", e.Args))
		}
	case *cdplog.EventEntryAdded:
		if e.Entry.Level == cdplog.EntryLevelError {
			b.complaints = append(b.complaints, fmt.Sprintf("%s (%s)", e.Entry.Text, e.Entry.URL))
		}
	}
}

// do does something, a minute at most.
func (b *browser) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := limited(b.ctx, func(ctx context.Context) error { return chromedp.Do(ctx, steps...) }); err != nil {
		b.t.Fatalf("%s: %v\n%s", what, err, b.seen())
	}
}

// limited runs f with a limit, but for the first time: that would end the browser.
func limited(ctx context.Context, f func(context.Context) error) error {
	if c := chromedp.FromContext(ctx); c == nil || c.Target == nil {
		return f(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return f(ctx)
}

// open goes to a page.
func (b *browser) open(path string) {
	b.t.Helper()
	b.do("opening "+path, chromedp.Navigate("http://"+b.d.addr+path))
}

// ask gives the value of an expression in the page.
func ask[T any](b *browser, expression string) T {
	b.t.Helper()
	var value T
	err := limited(b.ctx, func(ctx context.Context) (err error) {
		value, err = chromedp.Run(ctx, chromedp.Evaluate[T](expression))
		return err
	})
	if err != nil {
		b.t.Fatalf("asking the page for %s: %v\n%s", expression, err, b.seen())
	}
	return value
}

// until waits until an expression is true.
func (b *browser) until(limit time.Duration, what, expression string) {
	b.t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(100 * time.Millisecond) {
		var ok bool
		// While a page is loaded there may be none to ask.
		_ = limited(b.ctx, func(ctx context.Context) (err error) {
			ok, err = chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
			return err
		})
		if ok {
			return
		}
		if time.Now().After(end) {
			b.shot("wrong", 0)
			b.t.Fatalf("%s: not within %s\n%s", what, limit, b.seen())
		}
	}
}

// seen is what the page shows, for messages.
func (b *browser) seen() string {
	var text string
	_ = limited(b.ctx, func(ctx context.Context) (err error) {
		text, err = chromedp.Run(ctx, chromedp.Evaluate[string]("location.href + '\\n' + document.body.innerText"))
		return err
	})
	return rig.Tail(text[:min(len(text), 4000)], 40)
}

// press presses keys, one after the other.
func (b *browser) press(keys string) {
	b.t.Helper()
	b.do("pressing keys", chromedp.KeyEvent(keys))
}

// tabTo presses Tab until the focus is on what a selector chooses.
func (b *browser) tabTo(selector string) {
	b.t.Helper()
	for range 80 {
		if ask[bool](b, fmt.Sprintf("document.activeElement.matches(%q)", selector)) {
			return
		}
		b.press(kb.Tab)
	}
	b.t.Fatalf("Tab does not reach %s\n%s", selector, b.seen())
}

// shot takes a screenshot at a width; 0: as it is.
func (b *browser) shot(name string, width int64) {
	b.t.Helper()
	if width > 0 {
		b.do("another width", chromedp.EmulateViewport(width, 900))
		name = fmt.Sprintf("%s-%d", name, width)
	}
	var image []byte
	err := limited(b.ctx, func(ctx context.Context) (err error) {
		image, err = chromedp.Run(ctx, chromedp.FullScreenshot(100))
		return err
	})
	if err == nil {
		err = os.WriteFile(filepath.Join(b.shots, name+".png"), image, 0o644)
	}
	if err != nil {
		b.t.Errorf("a screenshot of %s: %v", name, err)
	}
}

// dark chooses the colours that the page is asked for.
func (b *browser) dark(on bool) {
	b.t.Helper()
	value := "light"
	if on {
		value = "dark"
	}
	b.do("choosing colours", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: value}}})
		return err
	}))
}

// scripts switches the page's script on or off, from the next page on.
func (b *browser) scripts(on bool) {
	b.t.Helper()
	b.do("switching scripts", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
		return err
	}))
}

// wide is the size in which pages are used.
func wide() chromedp.Action[chromedp.Void] { return chromedp.EmulateViewport(1280, 900) }
