package templates

import (
	"strings"
	"testing"

	"github.com/riscv-build/riscv-build/recipes"
)

func TestGoArguments(t *testing.T) {
	keep := false
	for _, c := range []struct {
		build            recipes.Build
		compile, install string
	}{
		{recipes.Build{}, "-ldflags=-s -w|.", "/usr/bin"},
		{recipes.Build{Make: []string{"-tags=x"}, Targets: []string{"./a", "./b"}, Install: []string{"/"}}, "-ldflags=-s -w|-tags=x|./a|./b", "/"},
		{recipes.Build{Make: []string{"-ldflags=-X a.b=c", "-tags=x"}}, "-ldflags=-s -w -X a.b=c|-tags=x|.", "/usr/bin"},
		{recipes.Build{Make: []string{"-ldflags", "-X a.b=c"}}, "-ldflags|-s -w -X a.b=c|.", "/usr/bin"},
		{recipes.Build{Make: []string{"--ldflags=-X a.b=c", "-ldflags="}}, "--ldflags=-X a.b=c|-ldflags=-s -w|.", "/usr/bin"},
		{recipes.Build{Make: []string{"-ldflags=-X a.b=c"}, Strip: &keep}, "-ldflags=-X a.b=c|.", "/usr/bin"},
	} {
		compile, install := goArguments(c.build)
		if got := strings.Join(compile, "|"); got != c.compile || strings.Join(install, "|") != c.install {
			t.Errorf("%+v: %q and %q, want %q and %q", c.build, got, install, c.compile, c.install)
		}
	}
}
