package service

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/builder/engine/statelock"
	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/builder/service/access"
)

// The limits of lines B and D.
const (
	memoryLimit = 350 // MB
	readLimit   = 100 * time.Millisecond
)

// TestLineServiceB: many builds are queued, half of them identical, by two
// clients, the second after the first. The queue is whole before anything is
// built: the test holds the state directory until then.
func TestLineServiceB(t *testing.T) {
	total := count(500, 60)
	d := newDaemon(t, daemonOptions{})
	d.addToken("anna", access.Build)
	d.addToken("bert", access.Build)
	held, err := statelock.Acquire(t.Context(), filepath.Join(d.state, "lock"), nil)
	if err != nil {
		t.Fatal(err)
	}
	d.start()
	same := uploaded(t, packaged("same", "the same for all"))
	for i, client := range []string{"anna", "bert"} {
		for n := range total / 4 {
			d.submit(client, same)
			d.submit(client, uploaded(t, packaged(fmt.Sprintf("own-%d-%d", i, n), fmt.Sprintf("%s's number %d", client, n))))
		}
	}
	queued := d.builds()
	if len(queued) != total {
		t.Fatalf("%d builds were submitted, and there are %d", total, len(queued))
	}
	for _, b := range queued {
		if b.Status.Final() {
			t.Fatalf("build %d is %s while the state directory is held: %s", b.ID, b.Status, b.Error)
		}
	}
	reads := d.readWhile(queued)
	if err := held.Release(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	builds := d.drained(20 * time.Minute)
	took := time.Since(begin)
	slow := reads()

	good, made := 0, map[string][]service.Build{}
	for _, b := range builds {
		if b.Status == service.Succeeded {
			good++
		} else {
			t.Errorf("build %d of %s is %s in stage %q: %s", b.ID, b.Recipe, b.Status, b.Stage, b.Error)
		}
		if b.SameAs == 0 {
			made[b.Inputs.String()] = append(made[b.Inputs.String()], b)
		}
	}
	figure(t, "B, builds that succeed", fmt.Sprintf("%d of %d in %s", good, len(builds), took.Round(time.Second)), fmt.Sprintf("all %d", total), good == total && len(builds) == total)
	once := 0
	for _, list := range made {
		if len(list) == 1 {
			once++
			continue
		}
		t.Errorf("%s is made %d times, by builds %d and %d", list[0].Recipe, len(list), list[0].ID, list[1].ID)
	}
	figure(t, "B, identical inputs", fmt.Sprintf("%d made of %d builds, %d of them once", len(made), len(builds), once), fmt.Sprintf("%d, each once", total/2+1), len(made) == total/2+1 && once == len(made))
	d.holdsOneTagEach(made)
	figure(t, "B, fairness", fair(made), "anna, bert: 40 to 60 % each of the first two fifths", isFair(made))
	peak := d.memory("VmHWM")
	figure(t, "B, memory", fmt.Sprintf("%d MB at most", peak), fmt.Sprintf("%d MB", memoryLimit), peak > 0 && peak < memoryLimit)
	timing(t, "B, API reads under load, p99 of "+fmt.Sprint(len(slow)), percentile(slow, 99), readLimit)
}

// readWhile reads what pages and scripts do, over and over, until the
// function it gives is called, which gives how long each took.
func (d *daemon) readWhile(builds []service.Build) (stop func() []time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	some := builds[len(builds)/2].ID
	paths := []string{api + "/builds", fmt.Sprintf("%s/builds/%d", api, some), api + "/state", api + "/builds?status=queued&limit=100", api + "/registry/images", "/metrics", "/healthz"}
	var took []time.Duration
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			path := paths[i%len(paths)]
			begin := time.Now()
			a := d.send(d.request(ctx, reader, http.MethodGet, path, nil))
			if ctx.Err() != nil {
				return
			}
			took = append(took, time.Since(begin))
			if a.status != http.StatusOK {
				d.t.Errorf("GET %s under load: %s", path, a)
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	return func() []time.Duration { cancel(); wg.Wait(); return took }
}

func percentile(all []time.Duration, p int) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(len(all)-1, len(all)*p/100)]
}

// holdsOneTagEach holds that the registry has one image of each build that was made.
func (d *daemon) holdsOneTagEach(made map[string][]service.Build) {
	d.t.Helper()
	var images []service.Image
	// A list of what it holds is some seconds old at most.
	for end := time.Now().Add(15 * time.Second); len(images) != len(made) && time.Now().Before(end); time.Sleep(time.Second) {
		images = d.images()
	}
	for _, list := range made {
		b := list[0]
		i := slices.IndexFunc(images, func(i service.Image) bool { return strings.HasSuffix(i.Repository, "/"+b.Recipe) })
		if i < 0 || b.Result == nil || images[i].Digest != b.Result.Digest {
			d.t.Errorf("the registry does not have what build %d of %s made", b.ID, b.Recipe)
		}
	}
	if len(images) != len(made) {
		d.t.Errorf("the registry has %d images, want %d", len(images), len(made))
	}
}

// images is what the registry holds.
func (d *daemon) images() []service.Image {
	d.t.Helper()
	var list struct {
		Images []service.Image `json:"images"`
	}
	d.get(api+"/registry/images", &list)
	return list.Images
}

// shares counts whose builds were the first two fifths that ended, of those that
// somebody has for himself.
func shares(made map[string][]service.Build) (counts map[string]int, all int) {
	var own []service.Build
	for _, list := range made {
		if strings.HasPrefix(list[0].Recipe, "own-") && list[0].Ended != nil {
			own = append(own, list[0])
		}
	}
	slices.SortFunc(own, func(a, b service.Build) int { return a.Ended.Compare(*b.Ended) })
	counts = map[string]int{}
	for _, b := range own[:len(own)*2/5] {
		counts[b.Client]++
	}
	return counts, len(own) * 2 / 5
}

func fair(made map[string][]service.Build) string {
	counts, all := shares(made)
	return fmt.Sprintf("%v of the first %d", counts, all)
}

func isFair(made map[string][]service.Build) bool {
	counts, all := shares(made)
	for _, client := range []string{"anna", "bert"} {
		if n := counts[client] * 100; n < 40*all || n > 60*all {
			return false
		}
	}
	return all > 0
}
