package graph

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

func goInput(recipe string) Input {
	in := input(Cross)
	in.Recipe, in.Sysroot, in.Dir = recipe, "", "."
	in.Toolchain = digest.FromString("go and perl")
	in.Go = &Go{Toolchain: digest.FromString("go"), Modules: digest.FromString("modules")}
	in.Unpack = UnpackScript([]SourceFiles{{Name: "hello", Into: "."}}, nil)
	in.Steps = []Step{{"compile", `go build -p "$JOBS" -o "$GOBIN/" .`}, {"install", `cp "$GOBIN"/* "$DESTDIR"`}}
	return in
}

func TestGoldenGo(t *testing.T) {
	def, err := Marshal(context.Background(), goInput("hello"))
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	for _, format := range Formats[:2] {
		if err := Print(&got, def, format); err != nil {
			t.Fatal(err)
		}
	}
	golden := filepath.Join("testdata", "go.txt")
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("the graph differs from %s (%v); run the test with -update and look at the difference:\n%s", golden, err, got.String())
	}
}

// TestStandardLibraryIsShared holds that all recipes compile the standard
// library by the same operation, whatever else they are.
func TestStandardLibraryIsShared(t *testing.T) {
	other := goInput("other")
	other.Env = map[string]string{"GOEXPERIMENT": "x"}
	other.Toolchain, other.Go.Modules, other.Date = digest.FromString("go"), "", other.Date.AddDate(1, 0, 0)
	var digests []string
	for _, in := range []Input{goInput("hello"), other} {
		def, err := Marshal(context.Background(), in)
		if err != nil {
			t.Fatal(err)
		}
		vs, err := Vertices(def)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range vs {
			if strings.Contains(v.Name, "standard library") {
				digests = append(digests, v.Digest.String())
			}
			if v.Kind == "exec" && v.Network != "none" {
				t.Errorf("%s has network %q", v.Name, v.Network)
			}
		}
	}
	if len(digests) != 2 || digests[0] != digests[1] {
		t.Errorf("the operations are %v", digests)
	}
}
