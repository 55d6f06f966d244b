package registry

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/tests/rig"
)

// TestLineRegistryC: the registry is killed while images are pushed and pulled.
// What it serves afterwards, and before, is never corrupt, and pushes can be
// repeated.
func TestLineRegistryC(t *testing.T) {
	rounds, size := 8, 24<<20
	if rig.Full {
		rounds, size = 50, 64<<20
	}
	s := serve(t, "--quiet")
	env := settings(t, "")
	random := rand.New(rand.NewPCG(3, 4))
	pulls, interrupted, corrupt := 0, 0, 0
	check := func(i int, must bool) {
		got, err := complete(&http.Client{}, s.addr, fmt.Sprintf("c/image%d", i), "1")
		pulls++
		switch {
		case errors.Is(err, errCorrupt):
			corrupt++
			t.Errorf("image %d: %v", i, err)
		case must && err != nil:
			t.Errorf("image %d: %v", i, err)
		case must && got == "":
			t.Errorf("image %d is another one", i)
		}
	}
	for i := range rounds {
		dir, want := newImage(t, uint64(1000+i), size, 1<<20)
		ref := fmt.Sprintf("http://%s/c/image%d:1", s.addr, i)
		var pushed rig.Result
		var wg sync.WaitGroup
		stop := make(chan struct{})
		wg.Go(func() { pushed = rig.Run(t.Context(), env, "push", dir, ref) })
		wg.Go(func() {
			for { // pulls of what is there, the image on its way too
				select {
				case <-stop:
					return
				default:
					check(i/2+random.IntN(i/2+1), false)
				}
			}
		})
		time.Sleep(time.Duration(random.IntN(500)) * time.Millisecond)
		if err := s.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = s.cmd.Wait()
		close(stop)
		wg.Wait()
		s.start(t, "--quiet")
		for j := range i + 1 {
			check(j, j < i)
		}
		if pushed.Code != 0 {
			interrupted++
			pushed = rig.Run(t.Context(), env, "push", dir, ref)
		}
		got, err := complete(http.DefaultClient, s.addr, fmt.Sprintf("c/image%d", i), "1")
		if pushed.Code != 0 || err != nil || got != want {
			t.Fatalf("round %d, pushed again: exit code %d, %s, %v\n%s", i, pushed.Code, got, err, pushed.Stderr)
		}
	}
	rig.Figure{Line: "RegistryC", OK: corrupt == 0 && !t.Failed(),
		Got:   fmt.Sprintf("%d kills, %d of them in a push that was repeated; %d pulls, %d corrupt", rounds, interrupted, pulls, corrupt),
		Limit: "0 corrupt, every push can be repeated"}.Report(t)
}
