package board

import (
	"context"
	"fmt"
	"testing"

	"github.com/riscv-build/riscv-build/tests/board/boardrig"
	"github.com/riscv-build/riscv-build/tests/rig"
)

// onHost builds images on this machine, and maps their names to digests.
func onHost(t *testing.T, state string, images []string, args ...string) map[string]string {
	t.Helper()
	all := append([]string{"build", "--json", "--progress", "plain", "--state-dir", state}, args...)
	for _, image := range images {
		all = append(all, recipe(image, testdata()))
	}
	r := rig.Run(context.Background(), boardrig.MirrorEnv(t), all...)
	if r.Code != 0 {
		t.Fatalf("building on the host: exit code %d\n%s", r.Code, rig.Tail(r.Stderr, 40))
	}
	digests := map[string]string{}
	for _, x := range parse(t, r).Results {
		digests[x.Name] = x.Digest
	}
	return digests
}

// TestLineBoardB: one image wherever it was built. The host cross-compiles, with
// runc and with a containerd; the board compiles natively. The builds of the host
// share downloads and unpacked packages, nothing that is compiled.
func TestLineBoardB(t *testing.T) {
	images := []string{packageImage, sourceImage}
	if rig.Full {
		images = append(images, "busybox")
	}
	state := t.TempDir()
	byRunc := onHost(t, state, images, "--containerd", "none")
	c := rig.StartContainerd(t, rig.ContainerdOptions{Suite: rig.Trixie})
	byContainerd := onHost(t, state, images, "--no-cache", "--containerd", c.Socket)
	for _, image := range images {
		onBoard := native(t, image).digest()
		rig.Figure{
			Line: "board B", Got: fmt.Sprintf("%s: board %.19s, host %.19s by runc, %.19s by containerd", image, onBoard, byRunc[image], byContainerd[image]),
			Limit: "one digest", OK: onBoard == byRunc[image] && onBoard == byContainerd[image],
		}.Report(t)
	}
}
