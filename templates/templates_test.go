package templates

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/riscv-build/riscv-build/recipes"
)

var cross = Target{Cross: true, Host: "x86_64-linux-gnu", Triplet: "riscv64-linux-gnu"}

// TestNames holds that recipes accept what there is, and nothing else.
func TestNames(t *testing.T) {
	if !slices.Equal(Names(), recipes.Templates) {
		t.Errorf("the templates are %v, recipes accept %v", Names(), recipes.Templates)
	}
	for _, name := range Names() {
		if tmpl, ok := Lookup(name); !ok || tmpl.Name() != name || tmpl.About() == "" {
			t.Errorf("template %q is found as %q, %q", name, tmpl.Name(), tmpl.About())
		}
	}
	if _, ok := Lookup("bazel"); ok {
		t.Error("a template that is not there is found")
	}
}

func TestScaffold(t *testing.T) {
	for _, template := range Names() {
		for _, name := range []string{"hello", "my-app.v2"} {
			files, err := Scaffold(template, name)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			for path, data := range files {
				path = filepath.Join(dir, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			r, err := recipes.Load(filepath.Join(dir, name+".toml"))
			if err != nil {
				t.Errorf("the scaffold of %q is not correct:\n%v", template, err)
				continue
			}
			if r.Name != name || r.Build.Template != template {
				t.Errorf("the scaffold of %q has name %q and template %q", template, r.Name, r.Build.Template)
			}
		}
	}
	for template, name := range map[string]string{"autotools": "../x", "make": "Hello", "bazel": "hello", "script": ""} {
		if files, err := Scaffold(template, name); err == nil || files != nil {
			t.Errorf("a recipe %q of template %q is made", name, template)
		}
	}
}

// runSteps runs the steps of a build in a directory, with programs that print
// their arguments, and returns what they print.
func runSteps(t *testing.T, b recipes.Build, target Target) string {
	t.Helper()
	tmpl, ok := Lookup(b.Template)
	if !ok {
		t.Fatalf("there is no template %q", b.Template)
	}
	steps, err := tmpl.Steps(b, target)
	if err != nil {
		t.Fatal(err)
	}
	dir, sysroot := t.TempDir(), ""
	if target.Cross {
		sysroot = "/sysroot"
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	show := "#!/bin/sh\nprintf '%s' \"${0##*/}\"; for a; do printf ' [%s]' \"$a\"; done; echo\n"
	write("make", show)
	for _, program := range []string{"cmake", "meson", "ninja"} {
		write(program, show+"[ -z \"$SYSROOT\" ] || [ -e .riscv-build/toolchain.cmake ] || [ -e .riscv-build/cross.ini ] || exit 7\nprintf '  CFLAGS=%s\\n' \"$CFLAGS\"\n")
	}
	write("CMakeLists.txt", "")
	write("meson.build", "")
	write("configure", show)
	write("config.sub", "# knows riscv64\n")
	var out strings.Builder
	for _, s := range steps {
		cmd := exec.Command("/bin/sh", "-ec", s.Script, s.Name)
		cmd.Dir = dir
		cmd.Env = []string{"PATH=" + dir + ":/usr/bin:/bin", "JOBS=3", "DESTDIR=/out", "CC=riscv64-linux-gnu-gcc", "SPACE=a b", "SYSROOT=" + sysroot, "TRIPLET=" + target.Triplet}
		if b.Env["CFLAGS"] != "" {
			cmd.Env = append(cmd.Env, "CFLAGS="+b.Env["CFLAGS"])
		}
		text, err := cmd.CombinedOutput()
		out.WriteString(s.Name + ": " + strings.ReplaceAll(string(text), dir, "DIR"))
		if err != nil {
			out.WriteString(err.Error() + "\n")
		}
	}
	return out.String()
}

func TestSteps(t *testing.T) {
	native := Target{Host: "riscv64-linux-gnu", Triplet: "riscv64-linux-gnu"}
	for _, c := range []struct {
		name   string
		build  recipes.Build
		target Target
		want   string
	}{
		{"autotools cross", recipes.Build{Template: "autotools", Configure: []string{"--x=$SPACE", "--prefix=/opt"}, Make: []string{"V=1"}}, cross, `prepare: configure: configure [--build=x86_64-linux-gnu] [--host=riscv64-linux-gnu] [--prefix=/usr] [--sysconfdir=/etc] [--localstatedir=/var] [--x=a b] [--prefix=/opt]
compile: make [-j3] [V=1]
install: make [V=1] [DESTDIR=/out] [install]
`},
		{"autotools native", recipes.Build{Template: "autotools"}, native, `prepare: configure: configure [--build=riscv64-linux-gnu] [--prefix=/usr] [--sysconfdir=/etc] [--localstatedir=/var]
compile: make [-j3]
install: make [DESTDIR=/out] [install]
`},
		{"make", recipes.Build{Template: "make", Make: []string{"CC=$CC", "S=$SPACE", "L=$$ORIGIN"}, Targets: []string{"all", "tools"}, Install: []string{"PREFIX=$DESTDIR/usr", "install-bin"}}, cross, `compile: make [-j3] [CC=riscv64-linux-gnu-gcc] [S=a b] [L=$ORIGIN] [all] [tools]
install: make [CC=riscv64-linux-gnu-gcc] [S=a b] [L=$ORIGIN] [PREFIX=/out/usr] [install-bin]
`},
		{"own steps get the arguments", recipes.Build{Template: "autotools", Configure: []string{"a b"}, Make: []string{"m"}, Targets: []string{"t"}, Install: []string{"i"},
			Steps: recipes.Steps{Configure: `configure --mine "$@"; echo "$UNSET"`, Compile: `make "$@"`, Install: `make -k "$@"`}}, cross, `prepare: configure: configure [--mine] [a b]

compile: make [m] [t]
install: make [-k] [m] [i]
`},
		{"cmake cross", recipes.Build{Template: "cmake", Configure: []string{"-DX=$SPACE", "-DCMAKE_BUILD_TYPE=Release"}, Make: []string{"-v"}, Targets: []string{"tool"}}, cross, `prepare: configure: cmake [-S] [.] [-B] [.riscv-build/build] [-G] [Ninja] [-DCMAKE_BUILD_TYPE=None] [-DCMAKE_SKIP_INSTALL_RPATH=ON] [-DCMAKE_INSTALL_PREFIX=/usr] [-DCMAKE_INSTALL_LIBDIR=lib/riscv64-linux-gnu] [-DCMAKE_INSTALL_SYSCONFDIR=/etc] [-DCMAKE_INSTALL_LOCALSTATEDIR=/var] [-DCMAKE_TOOLCHAIN_FILE=DIR/.riscv-build/toolchain.cmake] [-DX=a b] [-DCMAKE_BUILD_TYPE=Release]
  CFLAGS=-O2
compile: ninja [-C] [.riscv-build/build] [-j3] [-v] [tool]
  CFLAGS=
install: ninja [-C] [.riscv-build/build] [-j3] [-v] [install]
  CFLAGS=
`},
		{"cmake native", recipes.Build{Template: "cmake", Install: []string{"install/strip"}, Env: map[string]string{"CFLAGS": "-O3"}}, native, `prepare: configure: cmake [-S] [.] [-B] [.riscv-build/build] [-G] [Ninja] [-DCMAKE_BUILD_TYPE=None] [-DCMAKE_SKIP_INSTALL_RPATH=ON] [-DCMAKE_INSTALL_PREFIX=/usr] [-DCMAKE_INSTALL_LIBDIR=lib/riscv64-linux-gnu] [-DCMAKE_INSTALL_SYSCONFDIR=/etc] [-DCMAKE_INSTALL_LOCALSTATEDIR=/var]
  CFLAGS=-O3
compile: ninja [-C] [.riscv-build/build] [-j3]
  CFLAGS=-O3
install: ninja [-C] [.riscv-build/build] [-j3] [install/strip]
  CFLAGS=-O3
`},
		{"meson cross", recipes.Build{Template: "meson", Configure: []string{"-Dx=$SPACE"}}, cross, `prepare: configure: meson [setup] [.riscv-build/build] [.] [--buildtype=plain] [--wrap-mode=nodownload] [--prefix=/usr] [--libdir=lib/riscv64-linux-gnu] [--sysconfdir=/etc] [--localstatedir=/var] [--cross-file=.riscv-build/cross.ini] [-Dx=a b]
  CFLAGS=-O2
compile: ninja [-C] [.riscv-build/build] [-j3]
  CFLAGS=
install: ninja [-C] [.riscv-build/build] [-j3] [install]
  CFLAGS=
`},
		{"meson native", recipes.Build{Template: "meson"}, native, `prepare: configure: meson [setup] [.riscv-build/build] [.] [--buildtype=plain] [--wrap-mode=nodownload] [--prefix=/usr] [--libdir=lib/riscv64-linux-gnu] [--sysconfdir=/etc] [--localstatedir=/var]
  CFLAGS=-O2
compile: ninja [-C] [.riscv-build/build] [-j3]
  CFLAGS=
install: ninja [-C] [.riscv-build/build] [-j3] [install]
  CFLAGS=
`},
		{"script", recipes.Build{Template: "script", Steps: recipes.Steps{Compile: "false\necho not reached", Install: "echo \"$#\""}}, cross, `compile: exit status 1
install: 0
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := runSteps(t, c.build, c.target); got != c.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, c.want)
			}
		})
	}
}

func TestUnsetVariable(t *testing.T) {
	got := runSteps(t, recipes.Build{Template: "make", Make: []string{"CC=$NO_SUCH_VARIABLE"}}, cross)
	if !strings.Contains(got, "NO_SUCH_VARIABLE") || strings.Contains(got, "make [") {
		t.Errorf("a variable that is not set gives %q", got)
	}
}

func TestStepsErrors(t *testing.T) {
	script, _ := Lookup("script")
	if _, err := script.Steps(recipes.Build{}, cross); err == nil || !strings.Contains(err.Error(), "build.steps") {
		t.Errorf("a script without steps gives %v", err)
	}
	if _, err := script.Steps(recipes.Build{Steps: recipes.Steps{Compile: "true"}}, Target{}); err == nil {
		t.Error("a build for no machine is rendered")
	}
}

// TestQuote gives every argument to a shell and looks at what arrives.
func TestQuote(t *testing.T) {
	for arg, want := range map[string]string{
		"plain": "plain", "a b": "a b", "": "", "it's": "it's", `say "x"`: `say "x"`, `back\slash`: `back\slash`, `end\`: `end\`,
		"`id`": "`id`", "$(id)": "$(id)", "$VALUE": "v w", "x${VALUE}y": "xv wy", "$VALUE/x": "v w/x", "$$VALUE": "$VALUE", "$$$$": "$$",
		"$": "$", "$1": "$1", "$@": "$@", "${VALUE": "${VALUE", "${VALUE:-x}": "${VALUE:-x}", "a\nb": "a\nb", "*?[": "*?[", "~": "~", "!x": "!x",
		"$$$VALUE": "$v w", `\$VALUE`: `\v w`, "-Wl,-z,relro;x&y|z>a": "-Wl,-z,relro;x&y|z>a", "ü": "ü",
	} {
		cmd := exec.Command("/bin/sh", "-c", "printf '%s' "+Quote(arg))
		cmd.Env = []string{"VALUE=v w"}
		got, err := cmd.Output()
		if err != nil || string(got) != want {
			t.Errorf("Quote(%q) = %s arrives as %q, want %q (%v)", arg, Quote(arg), got, want, err)
		}
	}
}

// TestConfigSub holds that scripts which know no riscv64 are replaced, and
// others are not.
func TestConfigSub(t *testing.T) {
	if strings.Count(prepareAutotools, "/usr/share/misc/") != 1 {
		t.Fatal("the script copies from elsewhere than this test replaces")
	}
	dir, misc := t.TempDir(), t.TempDir()
	for path, text := range map[string]string{
		dir + "/config.sub": "old", dir + "/build-aux/config.guess": "old", dir + "/lib/config.sub": "knows riscv64-*",
		misc + "/config.sub": "new", misc + "/config.guess": "new",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("/bin/sh", "-ec", strings.Replace(prepareAutotools, "/usr/share/misc/", misc+"/", 1))
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for path, want := range map[string]string{"config.sub": "new", "build-aux/config.guess": "new", "lib/config.sub": "knows riscv64-*"} {
		if got, err := os.ReadFile(filepath.Join(dir, path)); err != nil || string(got) != want {
			t.Errorf("%s is %q, want %q (%v)", path, got, want, err)
		}
	}
}

// TestPrepareWithoutAutoreconf holds that the message names what to add.
func TestPrepareWithoutAutoreconf(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "configure.ac"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-ec", prepareAutotools)
	cmd.Dir, cmd.Env = dir, []string{"PATH=" + dir}
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "build.tools") {
		t.Errorf("it ends with %v and says %q", err, out)
	}
}

// TestCatalogSteps renders every recipe that is built in.
func TestCatalogSteps(t *testing.T) {
	for _, name := range recipes.Catalog() {
		r, err := recipes.LoadCatalog(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if r.Build.Template == "" {
			continue
		}
		tmpl, _ := Lookup(r.Build.Template)
		steps, err := tmpl.Steps(r.Build, cross)
		if err != nil || len(steps) < 2 {
			t.Errorf("recipe %q has steps %v (%v)", name, steps, err)
		}
		for _, s := range steps {
			if out, err := exec.Command("/bin/sh", "-n", "-c", s.Script).CombinedOutput(); err != nil {
				t.Errorf("step %s of recipe %q is no shell script: %v\n%s", s.Name, name, err, out)
			}
		}
	}
}
