package batch

import (
	"slices"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/builder/display"
)

// What there is no room for is left out whole.
func TestTableFits(t *testing.T) {
	now := time.Now()
	s := &Screen{total: 9, began: now, counts: map[Outcome]int{Built: 5, Failed: 1}, rows: map[string]*row{
		"eclipse-mosquitto": {name: "eclipse-mosquitto", stage: "engine", began: now.Add(-2 * time.Millisecond), steps: steps{done: 13, cached: 12}},
		"nginx":             {name: "nginx", stage: "push", began: now.Add(-time.Millisecond)},
		"redis":             {name: "redis", began: now},
	}}
	for _, c := range []struct {
		width, height int
		want          []string
	}{
		{80, 24, []string{
			"9 recipes, 0:00, 5 built, 1 failed, 1.5 MB fetched",
			"  recipe             stage   elapsed  cached",
			"  eclipse-mosquitto  engine     0:00  12 of 13 steps",
			"  nginx              push       0:00",
			"  redis                         0:00",
		}},
		{40, 5, []string{
			"9 recipes, 0:00, 5 built, 1 failed",
			"  recipe             stage   elapsed",
			"  eclipse-mosquitto  engine     0:00",
			"  and 2 more",
		}},
		{20, 3, []string{"9 recipes, 0:00", "  recipe"}},
	} {
		if got := s.table(display.Canvas{Width: c.width, Height: c.height, Fetched: 1_500_000}); !slices.Equal(got, c.want) {
			t.Errorf("%dx%d: %q", c.width, c.height, got)
		}
	}
}
