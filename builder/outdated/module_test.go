package outdated

import (
	"context"
	"errors"
	"testing"

	"github.com/riscv-build/riscv-build/recipes"
)

// listed are the versions that a module proxy lists.
type listed []string

func (l listed) Versions(context.Context, string) ([]string, error) {
	if l == nil {
		return nil, errors.New("not found")
	}
	return l, nil
}

func TestNewerModule(t *testing.T) {
	for _, x := range []struct {
		what, have, version string
		list                listed
		available, change   string
	}{
		{"none newer", "v1.2.0", "1.2.0", listed{"v1.0.0", "v1.2.0"}, "", ""},
		{"a release", "v1.2.0", "1.2.0", listed{"v1.3.0", "v1.10.0", "v1.2.0"}, "v1.10.0", "version = \"1.10.0\"\n"},
		{"not the recipe's version", "v0.316.0", "3.16.0", listed{"v0.317.1"}, "v0.317.1", "go = \"example.org/m@v0.317.1\"\n"},
		{"before a release", "v1.2.0", "1.2.0", listed{"v1.3.0-rc.1"}, "", ""},
		{"from before a release on", "v1.3.0-rc.1", "1.3.0-rc.1", listed{"v1.3.0-rc.2"}, "v1.3.0-rc.2", "version = \"1.3.0-rc.2\"\n"},
		{"another major version", "v1.2.0", "1.2.0", listed{"v2.0.0+incompatible"}, "", ""},
	} {
		got, err := newerModule(t.Context(), x.list, &recipes.Recipe{Version: x.version}, recipes.Source{Go: "example.org/m@" + x.have})
		switch {
		case err != nil:
			t.Errorf("%s: %v", x.what, err)
		case got == nil && x.available != "":
			t.Errorf("%s: nothing is newer", x.what)
		case got != nil && (got.Available != x.available || got.Change != x.change || got.Locked != x.have):
			t.Errorf("%s: %+v", x.what, got)
		}
	}
	if _, err := newerModule(t.Context(), listed(nil), &recipes.Recipe{}, recipes.Source{Go: "example.org/m@v1.0.0"}); err == nil {
		t.Error("a module that no proxy has is not reported")
	}
}
