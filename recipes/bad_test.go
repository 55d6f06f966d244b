package recipes

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

var update = flag.Bool("update", false, "write the expected output of golden files and the generated documents")

// separator stands between the input and the expected error of a golden file.
const separator = "----------\n"

// beside is what lies beside every recipe of these tests.
var beside = fstest.MapFS{
	"files/hello.conf": {Data: []byte("hello\n")},
	"fix.patch":        {Data: []byte("--- a\n+++ b\n")},
	"src/hello.c":      {Data: []byte("int main(void) { return 0; }\n")},
}

// TestBad parses every recipe of testdata/bad and compares the error.
func TestBad(t *testing.T) {
	paths, err := filepath.Glob("testdata/bad/*.txt")
	if err != nil || len(paths) < 40 {
		t.Fatalf("found %d golden files, want at least 40 (%v)", len(paths), err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			input, want, _ := strings.Cut(string(text), separator)
			_, err = Parse("recipe.toml", []byte(input), beside)
			if err == nil {
				t.Fatal("the recipe was accepted")
			}
			got := strings.ReplaceAll(err.Error(), strings.Join(Catalog(), ", "), "(the catalogue)") + "\n"
			if *update {
				if err := os.WriteFile(path, []byte(input+separator+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// particular is what a message says of one recipe: names and numbers.
var particular = regexp.MustCompile(`"[^"]*"|[0-9]+`)

// TestBadSaysWhatToDo holds that every expected line has a place, a finding
// and an instruction.
func TestBadSaysWhatToDo(t *testing.T) {
	paths, _ := filepath.Glob("testdata/bad/*.txt")
	rules := map[string]bool{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, want, _ := strings.Cut(string(text), separator)
		for line := range strings.Lines(want) {
			parts := strings.Split(line, ": ")
			if !strings.HasPrefix(line, "recipe.toml:") || len(parts) < 3 {
				t.Errorf("%s: %q is not \"file:line: what: do\"", path, line)
				continue
			}
			rules[particular.ReplaceAllString(parts[1], "")] = true
		}
	}
	if len(rules) < 25 {
		t.Errorf("only %d rules have a golden", len(rules))
	}
	t.Logf("%d rules", len(rules))
}
