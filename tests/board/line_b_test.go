package board

import (
	"fmt"
	"testing"

	"github.com/riscv-build/riscv-build/tests/board/boardrig"
	"github.com/riscv-build/riscv-build/tests/rig"
)

// TestLineBoardB: one image wherever it was built. The host cross-compiles, with
// runc and with a containerd; the board compiles natively. The builds of the host
// share downloads and unpacked packages, nothing that is compiled.
func TestLineBoardB(t *testing.T) {
	runc := map[string]string{packageImage: byRunc(t).packages.Digest, sourceImage: byRunc(t).source.Digest}
	if rig.Full {
		runc["busybox"] = newHosted(t, nil).make("busybox")
	}
	c := newHosted(t, rig.StartContainerd(t, rig.ContainerdOptions{Suite: rig.Trixie}))
	for image, byRunc := range runc {
		byContainerd, onBoard := c.make(image), native(t, image).digest()
		rig.Figure{
			Line: "board B", Got: fmt.Sprintf("%s: board %.19s, host %.19s by runc, %.19s by containerd", image, onBoard, byRunc, byContainerd),
			Limit: "one digest", OK: onBoard == byRunc && onBoard == byContainerd,
		}.Report(t)
	}
}

// make fetches and builds an image, and gives its digest.
func (h *hosted) make(image string) string {
	h.t.Helper()
	name := recipe(image, testdata())
	if r := rig.Run(h.t.Context(), boardrig.MirrorEnv(h.t), "fetch", name, "--locked", "--state-dir", h.dir); r.Code != 0 {
		h.t.Fatalf("fetching %s: exit code %d\n%s", image, r.Code, r.Stderr)
	}
	return h.build(name).Digest
}
