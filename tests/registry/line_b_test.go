package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/tests/rig"
)

// settings writes a configuration and gives the environment in which it holds.
func settings(t *testing.T, text string) []string {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "riscv-build"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "riscv-build", "config.toml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return []string{"XDG_CONFIG_HOME=" + dir, "DOCKER_CONFIG=" + dir}
}

// outcome is what became of pushes.
type outcome struct {
	mu             sync.Mutex
	pushed, failed int
	wrong          []string
}

func (o *outcome) bad(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.wrong = append(o.wrong, fmt.Sprintf(format, args...))
}

// TestLineRegistryB: through a proxy that breaks, stalls, refuses, cuts off and
// lies, every push ends pushed, or with an error that names the registry, the
// request and the cause, and no tag is ever incomplete.
func TestLineRegistryB(t *testing.T) {
	small, large, size, stall := 24, 2, 20<<20, "1s"
	if rig.Full {
		small, large, size, stall = 180, 20, 100<<20, "5s"
	}
	s := serve(t, "--quiet")
	p := startProxy(t, s.addr, nil)
	p.choose = p.anyFault(6)
	env := settings(t, fmt.Sprintf("stall = %q\n", stall))
	names := regexp.MustCompile(`registry "` + regexp.QuoteMeta(p.addr) + `".*(HEAD|GET|POST|PUT|PATCH) /v2/`)

	var o outcome
	sem := make(chan struct{}, 4)
	var wg sync.WaitGroup
	for i := range small + large {
		sem <- struct{}{}
		bytes := 1 << 20
		if i%((small+large)/large) == 0 {
			bytes = size
		}
		wg.Go(func() {
			defer func() { <-sem }()
			pushOnce(t, &o, pushJob{proxy: p, direct: s.addr, env: env, names: names, number: i, bytes: bytes})
		})
	}
	wg.Wait()
	for _, w := range o.wrong {
		t.Error(w)
	}
	t.Logf("requests: %v", p.count)
	rig.Figure{Line: "RegistryB", OK: len(o.wrong) == 0 && o.pushed+o.failed == small+large,
		Got:   fmt.Sprintf("%d of %d pushes verified, %d ended with an error that says where and why, %d otherwise; faults %v", o.pushed, small+large, o.failed, len(o.wrong), p.count),
		Limit: "all verified or with a named error, no incomplete tag"}.Report(t)
}

type pushJob struct {
	proxy         *proxy
	direct        string // the registry's own address
	env           []string
	names         *regexp.Regexp // what an error has to say
	number, bytes int
}

func pushOnce(t *testing.T, o *outcome, j pushJob) {
	dir, want := newImage(t, uint64(j.number+1), j.bytes)
	defer os.RemoveAll(dir)
	repo := fmt.Sprintf("b/image%d", j.number)
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	r := rig.Run(ctx, j.env, "push", dir, "http://"+j.proxy.addr+"/"+repo+":1")
	got, err := complete(http.DefaultClient, j.direct, repo, "1")
	switch {
	case ctx.Err() != nil:
		o.bad("push %d does not end\n%s", j.number, rig.Tail(r.Stderr, 5))
	case err != nil && !errors.Is(err, errAbsent):
		o.bad("push %d with exit code %d: %v", j.number, r.Code, err)
	case r.Code == 0 && got != want:
		o.bad("push %d says it pushed %s, the tag is %s, %v", j.number, want, got, err)
	case r.Code != 0 && !j.names.MatchString(r.Stderr):
		o.bad("push %d: exit code %d and an error that does not say enough:\n%s", j.number, r.Code, rig.Tail(r.Stderr, 5))
	default:
		o.mu.Lock()
		defer o.mu.Unlock()
		if r.Code == 0 {
			o.pushed++
			return
		}
		o.failed++
		t.Logf("push %d: %s", j.number, rig.Tail(r.Stderr, 1))
	}
}

// TestLineRegistryBResume: a push that lost its connection at 90 percent of a
// layer of 100 MB goes on from there.
func TestLineRegistryBResume(t *testing.T) {
	const size, most = 100_000_000, 15_000_000
	for _, what := range []fault{reset, stalled} {
		s := serve(t, "--quiet")
		once := true
		p := startProxy(t, s.addr, func(r *http.Request) (fault, int64) {
			if once && r.ContentLength > size/2 {
				once = false
				return what, size / 10 * 9
			}
			return none, 0
		})
		dir, want := newImage(t, 1, size)
		r := rig.Run(t.Context(), settings(t, `stall = "5s"`), "push", dir, "http://"+p.addr+"/resumed:1")
		if got, err := complete(http.DefaultClient, s.addr, "resumed", "1"); r.Code != 0 || err != nil || got != want {
			t.Fatalf("exit code %d, %s, %v\n%s", r.Code, got, err, r.Stderr)
		}
		again := p.uploaded - size
		rig.Figure{Line: "RegistryBResume", OK: again <= most && !once,
			Got:   fmt.Sprintf("after a %s at 90 percent of 100 MB: %.2f MB more than the layer", what, float64(again)/1e6),
			Limit: "15 MB"}.Report(t)
	}
}
