package service

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/tests/rig"
)

// pushes stands before a registry and notes which manifests are put under which tag.
type pushes struct {
	url string
	mu  sync.Mutex
	all map[string][]string // digests, by REPOSITORY:TAG
}

// watchedRegistry is a registry that outlives the service, and takes its time
// for manifests: there are always builds that run, and some that wait.
func watchedRegistry(t *testing.T, slow func() time.Duration) *pushes {
	t.Helper()
	addr := fmt.Sprintf("127.0.0.1:%d", rig.FreePort(t))
	rig.Start(t, rig.Binary, "registry", "serve", "--quiet", "--addr", addr, "--root", t.TempDir())
	rig.WaitFor(t, 20*time.Second, "the registry", func() bool {
		resp, err := http.Get("http://" + addr + "/healthz")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
	behind := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: addr})
	behind.ErrorLog = log.New(io.Discard, "", 0) // clients that are killed are none of its business
	p := &pushes{all: map[string][]string{}}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		repository, tag, found := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/manifests/")
		if r.Method == http.MethodPut && found && !strings.Contains(tag, ":") {
			time.Sleep(slow())
			sum := sha256.New()
			r.Body = io.NopCloser(io.TeeReader(r.Body, sum))
			defer func() { p.note(repository+":"+tag, fmt.Sprintf("sha256:%x", sum.Sum(nil))) }()
		}
		behind.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	p.url = s.URL
	return p
}

func (p *pushes) note(name, digest string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all[name] = append(p.all[name], digest)
}

// TestLineServiceC: the service is killed at random moments while it has much to
// do. What it has said yes to is there afterwards, is built, and is pushed as one
// image; who follows a build hears everything once.
func TestLineServiceC(t *testing.T) {
	kills, total := count(30, 4), count(480, 40)
	random := seeded(t)
	var mu sync.Mutex
	registry := watchedRegistry(t, func() time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return time.Duration(random.IntN(200)) * time.Millisecond
	})
	d := startDaemon(t, daemonOptions{Push: registry.url})
	accepted := map[int64]string{} // recipe, by number of the build
	var followers []*follower
	var following sync.WaitGroup
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
	defer cancel()
	slowest := time.Duration(0)
	for kill := range kills {
		mu.Lock()
		pair, after := random.IntN(5), time.Duration(random.IntN(1500))*time.Millisecond
		mu.Unlock()
		for n := range total / kills {
			recipe := fmt.Sprintf("own-%d-%d", kill, n)
			if n%2 == 1 {
				recipe = fmt.Sprintf("pair-%d", (pair+n)%5)
			}
			for _, b := range d.submit(maker, uploaded(t, packaged(recipe, recipe))) {
				accepted[b.ID] = recipe
				if n%5 == 4 { // one that waits for a while
					f := &follower{d: d, build: b.ID}
					followers = append(followers, f)
					following.Go(func() { f.run(ctx) })
				}
			}
		}
		time.Sleep(after)
		d.kill()
		slowest = max(slowest, d.start())
		d.has(accepted)
	}
	builds := d.drained(20 * time.Minute)
	following.Wait()

	good, attempts, again := 0, map[string]int{}, 0
	for _, b := range builds {
		if b.Status == service.Succeeded {
			good++
		} else {
			t.Errorf("build %d of %s is %s in stage %q: %s", b.ID, b.Recipe, b.Status, b.Stage, b.Error)
		}
		if b.SameAs == 0 {
			attempts[b.Recipe] += b.Attempt
		}
		if b.Attempt > 1 {
			again++
		}
	}
	figure(t, "C, builds after kill -9", fmt.Sprintf("%d accepted, %d there, %d succeeded, %d begun again; %d kills, the slowest start %s", len(accepted), len(builds), good, again, kills, slowest.Round(time.Millisecond)),
		"all there, all succeeded", good == len(builds) && len(builds) >= len(accepted))
	registry.judge(t, attempts, builds)
	judgeFollowers(t, d, followers)
}

// has holds that all builds that were accepted are there.
func (d *daemon) has(accepted map[int64]string) {
	d.t.Helper()
	there := map[int64]string{}
	for _, b := range d.builds() {
		there[b.ID] = b.Recipe
	}
	for id, recipe := range accepted {
		if there[id] != recipe {
			d.t.Errorf("build %d of %s was accepted, and after a restart it is %q", id, recipe, there[id])
		}
	}
}

// judge holds that no tag had two digests, and none was pushed oftener than it was built.
func (p *pushes) judge(t *testing.T, attempts map[string]int, builds []service.Build) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	two, oftener, puts := 0, 0, 0
	for name, digests := range p.all {
		puts += len(digests)
		for _, other := range digests[1:] {
			if other != digests[0] {
				two++
				t.Errorf("%s was %s and then %s", name, digests[0], other)
			}
		}
		repository, _, _ := strings.Cut(name, ":")
		recipe := repository[strings.LastIndex(repository, "/")+1:]
		if len(digests) > attempts[recipe] {
			oftener++
			t.Errorf("%s was pushed %d times in %d attempts", name, len(digests), attempts[recipe])
		}
	}
	for _, b := range builds {
		if b.Result == nil {
			t.Errorf("build %d of %s has no result", b.ID, b.Recipe)
			continue
		}
		for _, ref := range b.Result.Tags {
			_, name, _ := strings.Cut(strings.TrimPrefix(ref, "http://"), "/")
			if digests := p.all[name]; len(digests) == 0 || digests[0] != b.Result.Digest.String() {
				t.Errorf("build %d says that it pushed %s as %s; the registry was sent %q", b.ID, ref, b.Result.Digest, digests)
			}
		}
	}
	figure(t, "C, digests of tags", fmt.Sprintf("%d tags, %d pushes, %d with two digests, %d pushed oftener than built", len(p.all), puts, two, oftener), "one digest each", two+oftener == 0 && len(p.all) > 0)
}

// judgeFollowers holds that each heard what there is to hear, and nothing twice.
func judgeFollowers(t *testing.T, d *daemon, followers []*follower) {
	t.Helper()
	resumed, wrong := 0, 0
	for _, f := range followers {
		resumed += f.resumed
		whole := &follower{d: d, build: f.build}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		whole.run(ctx)
		cancel()
		problems := append(f.problems, whole.problems...)
		if len(f.events) != len(whole.events) {
			problems = append(problems, fmt.Sprintf("build %d has %d events, its follower heard %d", f.build, len(whole.events), len(f.events)))
		}
		for i := range min(len(f.events), len(whole.events)) {
			if a, b := f.events[i], whole.events[i]; a.Kind != b.Kind || string(a.Data) != string(b.Data) {
				problems = append(problems, fmt.Sprintf("build %d, event %d: heard %s %s, it is %s %s", f.build, a.Seq, a.Kind, a.Data, b.Kind, b.Data))
				break
			}
		}
		if len(problems) > 0 {
			wrong++
			t.Errorf("a follower: %s", strings.Join(problems, "\n"))
		}
	}
	figure(t, "C, streams that resume", fmt.Sprintf("%d followers resumed %d times, %d with a gap or a repeat", len(followers), resumed, wrong), "0", wrong == 0 && resumed > 0)
}
