package clients

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the goldens anew")

var writeTime = time.Date(2026, 11, 5, 6, 7, 8, 0, time.UTC)

// golden is a file of testdata: a first line with the request, then sections.
// Those named in/PATH are the files before, out/PATH those that changed; notes,
// restart and error are what New says.
type golden struct {
	request  string
	sections map[string]string
	order    []string
}

func parseGolden(t testing.TB, name string) golden {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	g := golden{sections: map[string]string{}}
	current := ""
	for line := range strings.Lines(string(text)) {
		if title, ok := strings.CutPrefix(line, "-- "); ok && strings.HasSuffix(line, " --\n") {
			current = strings.TrimSuffix(title, " --\n")
			g.order = append(g.order, current)
			g.sections[current] = ""
			continue
		}
		if current == "" {
			g.request += line
		} else {
			g.sections[current] += line
		}
	}
	return g
}

// options reads the request: words are clients, --key value the options.
func (g golden) options(t *testing.T, root string) (names []string, opt Options) {
	t.Helper()
	opt = Options{Root: root, OS: "linux", Home: "/home/u"}
	words := strings.Fields(g.request)
	for i := 0; i < len(words); i++ {
		value := func() string { i++; return words[i] }
		switch words[i] {
		case "--registry":
			opt.Registry = value()
		case "--ca":
			opt.CAFile = filepath.Join("testdata", value())
		case "--user":
			opt.User = value()
		case "--password":
			opt.Password = value()
		case "--mirror":
			opt.Mirrors = append(opt.Mirrors, value())
		case "--os":
			opt.OS = value()
		case "--rootless":
			opt.Rootless = true
		default:
			names = append(names, words[i])
		}
	}
	return names, opt
}

func (g golden) lay(t *testing.T, root string) {
	t.Helper()
	for name, text := range g.sections {
		if path, ok := strings.CutPrefix(name, "in/"); ok {
			lay(t, root, path, text)
		}
	}
}

func lay(t *testing.T, root, name, text string) {
	t.Helper()
	full := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestGoldens: every file of testdata, planned, written and planned again.
func TestGoldens(t *testing.T) {
	names, err := filepath.Glob("testdata/*.golden")
	if err != nil || len(names) < 20 {
		t.Fatalf("%v: %d goldens", err, len(names))
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".golden"), func(t *testing.T) {
			g := parseGolden(t, name)
			root := t.TempDir()
			g.lay(t, root)
			before := snapshot(t, root)
			got := g.run(t, root)
			if strings.Contains(got, "-- error --") && !equalTrees(before, snapshot(t, root)) {
				t.Errorf("there was an error, and files changed")
			}
			text := g.request
			for _, section := range g.order {
				if strings.HasPrefix(section, "in/") {
					text += "-- " + section + " --\n" + g.sections[section]
				}
			}
			text += got
			if *update {
				if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(name)
			if err != nil || text != string(want) {
				t.Errorf("got\n%s\nwant\n%s\n(go test ./pusher/clients -update writes it anew)", got, want)
			}
		})
	}
}

// run plans and writes, and holds that there is nothing left to do.
func (g golden) run(t *testing.T, root string) string {
	t.Helper()
	names, opt := g.options(t, root)
	plan, err := New(names, opt)
	if err != nil {
		var request *RequestError
		var file *FileError
		if !errors.As(err, &request) && !errors.As(err, &file) {
			t.Errorf("the error is a %T", err)
		}
		return "-- error --\n" + err.Error() + "\n"
	}
	done, err := plan.Write(writeTime)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, f := range plan.Files {
		if got, err := os.ReadFile(filepath.Join(root, f.Path)); err != nil || !bytes.Equal(got, f.New) {
			t.Errorf("%q was not written as planned: %v", f.Path, err)
		}
		if f.Changed() && !strings.HasSuffix(f.Path, ".crt") {
			fmt.Fprintf(&text, "-- out%s --\n%s", f.Path, f.New)
		} else if f.Changed() {
			fmt.Fprintf(&text, "-- out%s --\n(the CA)\n", f.Path)
		}
	}
	for _, d := range done {
		checkBackup(t, root, g, d)
	}
	again, err := New(names, opt)
	if err != nil {
		t.Fatal(err)
	}
	if done, err := again.Write(writeTime.Add(time.Hour)); err != nil || len(done) > 0 {
		t.Errorf("the second time %v was written: %v", done, err)
	}
	if len(again.Restart) > 0 {
		t.Errorf("the second time there is something to restart: %q", again.Restart)
	}
	for _, list := range []struct {
		title string
		lines []string
	}{{"notes", plan.Notes}, {"restart", plan.Restart}} {
		if len(list.lines) > 0 {
			fmt.Fprintf(&text, "-- %s --\n%s\n", list.title, strings.Join(list.lines, "\n"))
		}
	}
	return text.String()
}

func checkBackup(t *testing.T, root string, g golden, d Backup) {
	t.Helper()
	old, existed := g.sections["in"+d.Path]
	if !existed {
		if d.Backup != "" {
			t.Errorf("%q was not there and has a backup", d.Path)
		}
		return
	}
	if d.Backup != d.Path+".riscv-build-20261105T060708~" {
		t.Errorf("backup %q", d.Backup)
	}
	if got, err := os.ReadFile(filepath.Join(root, d.Backup)); err != nil || string(got) != old {
		t.Errorf("backup of %q: %v, %q", d.Path, err, got)
	}
}

// snapshot is the content of all files of a tree.
func snapshot(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		all[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func equalTrees(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for name, text := range a {
		if other, ok := b[name]; !ok || other != text {
			return false
		}
	}
	return true
}
