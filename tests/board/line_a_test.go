package board

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/riscv-build/riscv-build/tests/board/boardrig"
	"github.com/riscv-build/riscv-build/tests/rig"
)

// kubernetes is where the lines load images into.
const kubernetes = "/run/containerd/containerd.sock,namespace=k8s.io"

// running is how an image is run, and what it then says.
type running struct {
	image, tag string
	program    string // its entrypoint
	args       string
	code       int
	says       string
}

var runnings = []running{
	{packageImage, "2.0", "/usr/sbin/mosquitto", "-h", 3, "mosquitto version 2."},
	{sourceImage, "3.6", "/pause", "-v", 0, "pause 3.6"},
}

// TestLineBoardA: built natively through the containerd of the board, tested,
// pushed to a registry over plain HTTP, loaded, and run by containerd's own
// program and by ours.
func TestLineBoardA(t *testing.T) {
	port := registry(t)
	for _, run := range runnings {
		t.Run(run.image, func(t *testing.T) {
			m := native(t, run.image)
			if !strings.Contains(m.said, " at /run/containerd/containerd.sock") || run.image == sourceImage && !strings.Contains(m.said, "worker containerd") {
				t.Errorf("the program does not say that it uses containerd:\n%s", rig.Tail(m.said, 30))
			}
			b := nativeBoard(t)
			pushAndLoad(t, b, run, port)
			run.byContainerd(t, b)
			run.byProgram(t, b)
			rig.Figure{
				Line: "board A", Got: fmt.Sprintf("%s built in %.0f s, tested, pushed, loaded, run; %d MB", run.image, m.took.Seconds(), m.peak),
				Limit: "all of it", OK: !t.Failed(),
			}.Report(t)
		})
	}
	if !rig.Full {
		return
	}
	for _, image := range []string{"busybox", "nginx"} {
		t.Run(image, func(t *testing.T) {
			m := native(t, image)
			rig.Figure{Line: "board A", Got: fmt.Sprintf("%s from source: %.0f s, %d MB", image, m.took.Seconds(), m.peak), Limit: "built and tested", OK: !t.Failed()}.Report(t)
		})
	}
}

// pushAndLoad hands an image that stands on, to the registry at a port of the
// host and to the board's containerd.
func pushAndLoad(t *testing.T, b *boardrig.Board, run running, port int) {
	t.Helper()
	there := fmt.Sprintf("%s:%d", boardrig.Host, port)
	rep := parse(t, b.Must(strings.Join([]string{
		"riscv-build build --json --progress plain", recipe(run.image, recipeDir), "--push", there, "--load --containerd", kubernetes,
	}, " ")))
	x := rep.Results[0]
	if !x.Cached || x.Uploaded == 0 || x.Loaded == nil || len(x.Loaded.Names) == 0 {
		t.Errorf("cached %v, %d blobs uploaded, loaded %+v", x.Cached, x.Uploaded, x.Loaded)
	}
	// The host reads what the board has pushed.
	ref := fmt.Sprintf("127.0.0.1:%d/riscv64/%s:%s", port, run.image, run.tag)
	r := rig.Run(context.Background(), nil, "registry", "inspect", "--json", ref)
	if r.Code != 0 || !strings.Contains(r.Stdout, x.Digest) {
		t.Errorf("the registry's %s is not %s: exit code %d\n%s%s", ref, x.Digest, r.Code, r.Stdout, r.Stderr)
	}
}

// byContainerd runs the image as it was loaded.
func (run running) byContainerd(t *testing.T, b *boardrig.Board) {
	t.Helper()
	names := strings.Fields(b.Must(fmt.Sprintf("ctr -n k8s.io images ls -q | grep '/%s:%s$'", run.image, run.tag)).Stdout)
	if len(names) == 0 {
		t.Fatal("containerd has no image of the name")
	}
	run.said(t, "ctr run", b.Exec(fmt.Sprintf("ctr -n k8s.io run --rm %s line-a-%s %s %s", names[0], run.image, run.program, run.args)))
}

// byProgram runs the recipe's image, and finds nothing of it afterwards.
func (run running) byProgram(t *testing.T, b *boardrig.Board) {
	t.Helper()
	list := "for n in $(ctr ns ls -q); do ctr -n $n containers ls -q; ctr -n $n tasks ls -q; done"
	before := b.Must(list).Stdout
	run.said(t, "riscv-build run", b.Exec(fmt.Sprintf("riscv-build run %s -- %s", recipe(run.image, recipeDir), run.args)))
	if after := b.Must(list).Stdout; after != before {
		t.Errorf("containers after the run: %q, before it %q", after, before)
	}
}

func (run running) said(t *testing.T, by string, r rig.Result) {
	t.Helper()
	if r.Code != run.code || !strings.Contains(r.Stdout+r.Stderr, run.says) {
		t.Errorf("%s of %s: exit code %d, want %d and %q\n%s%s", by, run.image, r.Code, run.code, run.says, rig.Tail(r.Stdout, 10), rig.Tail(r.Stderr, 20))
	}
}
