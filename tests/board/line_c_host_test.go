package board

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/tests/rig"
)

// TestLineBoardCHost: builds in each containerd of this machine that are killed, or
// whose containerd ends, do the next one no harm, and leave nothing.
func TestLineBoardCHost(t *testing.T) {
	some, kills := []string{rig.Trixie}, 1
	if rig.Full {
		some, kills = suites, 5
	}
	want := byRunc(t).source.Digest
	for _, suite := range some {
		t.Run(suite, func(t *testing.T) {
			c := rig.StartContainerd(t, rig.ContainerdOptions{Suite: suite})
			b := &broken{hosted: newHosted(t, c), want: want}
			b.killedInContainer()
			b.clean()
			for i := 1; i < kills; i++ {
				b.killedAtAnyMoment(i%2 == 0)
				b.clean()
			}
			b.loses("restarted", c.Restart)
			b.clean()
			b.loses("killed", c.Kill)
			if r := b.run("build", "pause", "--no-cache"); r.Code != 3 || !strings.Contains(r.Stderr, c.Socket) {
				t.Errorf("without its containerd: exit code %d\n%s", r.Code, r.Stderr)
			}
			c.Start()
			b.clean()
			b.ok(0, "cache", "prune")
			left := b.left()
			rig.Figure{
				Line: "board C", Got: fmt.Sprintf("containerd %s: killed %d times, restarted and killed under a build: %d of %d next runs clean, %d of 2 builds said why, left after cache prune: %d%s",
					c.Version, b.kills, b.good, b.runs, b.told, len(left), lines(left)),
				Limit: "all, all, 0", OK: b.kills == kills && b.good == b.runs && b.told == 2 && len(left) == 0,
			}.Report(t)
		})
	}
}

// broken is a state directory whose builds are broken off.
type broken struct {
	*hosted
	want                    string // digest
	kills, good, runs, told int
}

// begin begins a build that makes everything anew, and gives its result when it
// has ended, and how to kill it.
func (b *broken) begin() (ended <-chan rig.Result, kill func()) {
	rig.WaitFor(b.t, 20*time.Second, "the end of all containers", func() bool { return len(b.containers()) == 0 })
	result := make(chan rig.Result, 1)
	cmd := b.c.Command(nil, rig.Binary, b.args("build", "pause", "--locked", "--offline", "--no-cache", "--progress", "plain")...)
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait()
		result <- rig.Result{Stderr: said.String(), Code: cmd.ProcessState.ExitCode()}
	}()
	return result, func() { _ = cmd.Process.Kill() }
}

// container waits until a container of ours runs, or the build has ended.
func (b *broken) container(ended <-chan rig.Result) {
	rig.WaitFor(b.t, 10*time.Minute, "a container", func() bool { return len(b.containers()) > 0 || len(ended) > 0 })
}

// containers are those of ours that containerd's state knows: where one polls,
// ctr would take too long.
func (b *broken) containers() []string {
	b.t.Helper()
	found, err := filepath.Glob(filepath.Join(filepath.Dir(b.c.Root), "state", "io.containerd.runtime.v2.task", "riscv-build-*", "*", "init.pid"))
	if err != nil {
		b.t.Fatal(err)
	}
	return found
}

// killedInContainer kills a build while a container runs.
func (b *broken) killedInContainer() {
	b.t.Helper()
	ended, kill := b.begin()
	b.container(ended)
	kill()
	if r := <-ended; r.Code == 0 {
		b.t.Error("the build ended before it could be killed")
		return
	}
	b.kills++
}

// killedAtAnyMoment kills a build of an empty build cache, or of one that has
// the tool chain. One that ends first shows how long builds take.
func (b *broken) killedAtAnyMoment(empty bool) {
	b.t.Helper()
	for longest, tries := 15*time.Second, 0; tries < 10; tries++ {
		if empty {
			if err := os.RemoveAll(filepath.Join(b.dir, "buildkit-containerd")); err != nil {
				b.t.Fatal(err)
			}
		}
		began := time.Now()
		ended, kill := b.begin()
		after := rand.N(longest)
		select {
		case r := <-ended:
			if r.Code != 0 {
				b.t.Errorf("a build that was not killed: exit code %d\n%s", r.Code, rig.Tail(r.Stderr, 40))
			}
			longest = time.Since(began)
		case <-time.After(after):
			kill()
			if r := <-ended; r.Code != 0 {
				b.kills++
				b.t.Logf("killed after %s", after.Round(time.Millisecond))
				return
			}
		}
	}
	b.t.Error("builds end before they can be killed")
}

// loses has a build lose its containerd: it says so, with the status of an
// environment that is not as it has to be.
func (b *broken) loses(how string, lose func()) {
	b.t.Helper()
	ended, _ := b.begin()
	b.container(ended)
	lose()
	r := <-ended
	if r.Code != 3 || !strings.Contains(r.Stderr, "containerd at \""+b.c.Socket+"\"") {
		b.t.Errorf("containerd was %s: exit code %d\n%s", how, r.Code, rig.Tail(r.Stderr, 40))
		return
	}
	b.told++
	b.t.Logf("containerd was %s: %s", how, rig.Tail(r.Stderr, 1))
}

// clean holds that a build gives the digest that one gives which nothing befell.
func (b *broken) clean() {
	b.t.Helper()
	b.forget()
	b.runs++
	if m := b.build("pause"); m.Digest == b.want && m.Worker == "containerd" {
		b.good++
	}
}
