package board

import (
	"fmt"
	"testing"

	"github.com/riscv-build/riscv-build/tests/board/boardrig"
	"github.com/riscv-build/riscv-build/tests/rig"
)

// memoryLimits are MB that the program may have, of the memory that is its own.
var memoryLimits = []struct {
	image string
	limit int
}{{packageImage, 150}, {sourceImage, 250}}

// TestLineBoardD: what a build takes of a board's memory, and that 1 GB is
// enough. In the reduced run the board of all lines has that much.
func TestLineBoardD(t *testing.T) {
	for _, x := range memoryLimits {
		m := native(t, x.image)
		memoryFigure(t, "the board of the lines", x.image, m.peak, x.limit)
	}
	if !rig.Full {
		return
	}
	for _, image := range []string{"busybox", "nginx"} {
		memoryFigure(t, "2 GB", image, native(t, image).peak, 250)
	}
	small := boardrig.Start(t, boardrig.Options{Memory: "1G"})
	small.Copy(testdata(), recipeDir)
	for _, x := range memoryLimits {
		memoryFigure(t, "1 GB", x.image, buildOn(t, small, x.image).peak, x.limit)
	}
}

func memoryFigure(t *testing.T, where, image string, peak, limit int) {
	t.Helper()
	rig.Figure{
		Line: "board D", Got: fmt.Sprintf("%s, %s: %d MB resident at most", where, image, peak), Limit: fmt.Sprintf("%d MB", limit), OK: peak > 0 && peak <= limit,
	}.Report(t)
}
