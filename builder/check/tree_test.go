package check

import (
	"context"
	"strings"
	"testing"
)

func treeOf(t *testing.T, layers ...[]item) *Tree {
	t.Helper()
	var facts []*LayerFacts
	for _, items := range layers {
		facts = append(facts, scanBytes(t, layerTar(t, items...)))
	}
	return NewTree(facts)
}

func paths(tree *Tree) string {
	var out []string
	tree.Walk(func(p string, f *File) {
		if f.Type != TypeDir {
			out = append(out, p)
		}
	})
	return strings.Join(out, " ")
}

func TestTree(t *testing.T) {
	f := func(name string) item { return file(name, 0o644, "x") }
	for _, c := range []struct {
		name   string
		layers [][]item
		want   string
	}{
		{"later wins", [][]item{{f("a/x"), f("b")}, {f("b"), f("a/y")}}, "/a/x /a/y /b"},
		{"whiteout", [][]item{{f("a/x"), f("a/y")}, {f("a/.wh.x")}}, "/a/y"},
		{"whiteout of a directory", [][]item{{f("a/x"), f("a/y"), f("b")}, {f(".wh.a")}}, "/b"},
		{"whiteout means the layers below", [][]item{{f("a/x")}, {f("a/x"), f("a/.wh.x")}}, "/a/x"},
		{"opaque", [][]item{{f("a/x"), f("a/b/y")}, {f("a/z"), f("a/.wh..wh..opq")}}, "/a/z"},
		{"file for a directory", [][]item{{f("a/x")}, {f("a")}}, "/a"},
		{"directory for a file", [][]item{{f("a")}, {f("a/x")}}, "/a/x"},
		{"directory for a link hides", [][]item{{f("usr/lib/x"), symlink("lib", "usr/lib")}, {dir("lib", 0o755)}}, "/usr/lib/x"},
		{"outside", [][]item{{f("../../etc/x"), f("./y")}}, "/etc/x /y"},
		{"hard link over layers", [][]item{{f("a")}, {{name: "b", hard: "a"}}, {f(".wh.a")}}, "/b"},
	} {
		if got := paths(treeOf(t, c.layers...)); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestTreeLinks(t *testing.T) {
	tree := treeOf(t, []item{
		file("usr/lib/real", 0o644, "x"), symlink("lib", "usr/lib"), symlink("usr/abs", "/lib"), symlink("usr/lib/up", "../lib/real"),
		symlink("one", "two"), symlink("two", "one"), symlink("out", "../../../../usr"), symlink("dangling", "/nowhere"),
	})
	for p, want := range map[string]string{
		"/lib/real": "/usr/lib/real", "/usr/abs/up": "/usr/lib/real", "/lib/../abs/real": "/usr/lib/real", "/out/lib/real": "/usr/lib/real",
		"/one": "", "/dangling": "", "/usr/lib/real/x": "", "/": "/", "": "/",
	} {
		if got, _ := tree.Resolve(p); got != want {
			t.Errorf("%q: got %q, want %q", p, got, want)
		}
	}
	if f, ok := tree.Lstat("/lib"); !ok || f.Type != TypeSymlink || f.Link != "usr/lib" {
		t.Errorf("got %+v", f)
	}
	if f, ok := tree.Stat("/lib"); !ok || f.Type != TypeDir {
		t.Errorf("got %+v", f)
	}
}

func TestTreeProblems(t *testing.T) {
	app := binFile("usr/bin/app", program("libc.so.6"))
	runCases(t, []imageCase{
		{
			name: "written through a link", image: appImage(t, app, file("lib/x", 0o644, "")),
			want: []string{`error through-link: /lib/x is written through "/lib", which is a symbolic link to "usr/lib": containerd follows the link, docker puts a directory in its place: put the file under the directory that the link leads to`},
		},
		{
			name: "hard link to nothing", image: appImage(t, app, item{name: "usr/bin/x", hard: "usr/bin/y", mode: 0o755}),
			want: []string{`error hard-link: /usr/bin/x is a hard link to "/usr/bin/y", which no layer up to its own has as a file: put the link's target into the same layer, before the link`},
		},
	})
}

func TestReadFile(t *testing.T) {
	store := newStore(t)
	lower := layerTar(t, file("etc/a", 0o644, "old"), file("etc/b", 0o644, "b"), file("etc/empty", 0o644, ""))
	upper := layerTar(t, file("etc/a", 0o644, "first"), file("etc/a", 0o644, "last"), symlink("a", "etc/a"))
	image := newImage("/a").raw(lower, gzipped(t, lower)).raw(upper, zstded(t, upper))
	c, err := Load(context.Background(), store, image.store(t, store), nil)
	must(t, err)
	for p, want := range map[string]string{"/a": "last", "/etc/b": "b", "/etc/empty": ""} {
		if got, err := c.ReadFile(context.Background(), p, 100); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v", p, got, err)
		}
	}
	for p, want := range map[string]string{
		"/none": `reading "/none": the image has no such file`, "/etc": `reading "/etc": it is a dir, not a regular file`,
		"/a": `reading "/a": it has 4 bytes, more than 3`,
	} {
		if _, err := c.ReadFile(context.Background(), p, 3); err == nil || err.Error() != want {
			t.Errorf("%s: got %v", p, err)
		}
	}
}

func TestEntrypoint(t *testing.T) {
	sh := func(name, body string) *crafted {
		return newImage(name).layer(t, base()...).layer(t, file("start", 0o755, body), file("plain", 0o644, body))
	}
	env := func(c *crafted, kv ...string) *crafted { c.config.Config.Env = kv; return c }
	cmd := newImage().layer(t, base()...)
	cmd.config.Config.Cmd = []string{"sh"}
	relative := sh("./start", "#!/bin/sh\n")
	relative.config.Config.WorkingDir = "/"
	runCases(t, []imageCase{
		{name: "on PATH", image: newImage("sh").layer(t, base()...)},
		{name: "cmd", image: cmd},
		{name: "relative", image: relative},
		{name: "script", image: sh("/start", "#! /bin/sh -e\n")},
		{name: "env", image: sh("/start", "#!/usr/bin/env -S A=b sh\n").layer(t, binFile("usr/bin/env", program("libc.so.6")))},
		{name: "none", image: newImage().layer(t, base()...), want: []string{"note entrypoint: the image has neither entrypoint nor cmd"}},
		{
			name: "absent", image: newImage("/docker-entrypoint.sh").layer(t, base()...),
			want: []string{`error entrypoint: the entrypoint "/docker-entrypoint.sh" is not in the image: correct image.entrypoint, or add the file`},
		},
		{
			name: "not on PATH", image: env(sh("start", "#!/bin/sh\n"), "PATH=/opt:/usr/bin"),
			want: []string{`error entrypoint: the entrypoint "start" is in no directory of PATH (/opt:/usr/bin): correct image.entrypoint, or add the file`},
		},
		{
			name: "not executable", image: sh("/plain", "#!/bin/sh\n"),
			want: []string{`error entrypoint: the entrypoint "/plain" is not executable: /plain has mode 0644: give it mode 0755`},
		},
		{
			name: "directory", image: newImage("/usr").layer(t, base()...),
			want: []string{`error entrypoint: the entrypoint "/usr" is a dir, not a program: name a program`},
		},
		{
			name: "no interpreter", image: sh("/start", "#!/bin/bash\n"),
			want: []string{`error entrypoint: the entrypoint "/start" is run by "/bin/bash", which is not in the image: add the package that holds it to image.packages`},
		},
		{
			name: "env without the program", image: sh("/start", "#!/usr/bin/env python3\n").layer(t, binFile("usr/bin/env", program("libc.so.6"))),
			want: []string{`error entrypoint: the entrypoint "/start" is run by "python3", which is in no directory of PATH (` + defaultPath + `): add the package that holds it to image.packages`},
		},
		{
			name: "text", image: sh("/start", "echo hello\n"),
			want: []string{`error entrypoint: the entrypoint "/start" is neither an ELF file nor a script that begins with #!: begin the script with its interpreter, e.g. #!/bin/sh`},
		},
		{
			name: "script that runs itself", image: sh("/start", "#!/start\n"),
			want: []string{`error entrypoint: the entrypoint "/start" is a script whose interpreters are scripts themselves: name a program as interpreter`},
		},
	})
}
