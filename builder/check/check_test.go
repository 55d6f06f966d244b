package check

import (
	"context"
	"debug/elf"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/recipes"
)

// imageCase is an image with what the check must say of it, line by line.
type imageCase struct {
	name  string
	image *crafted
	opt   Options
	want  []string // severity, rule and text of the findings, in their order
}

func judged(t *testing.T, c *crafted, opt Options) *Report {
	t.Helper()
	store := newStore(t)
	report, err := Image(context.Background(), store, c.store(t, store), opt)
	must(t, err)
	return report
}

func lines(r *Report) []string {
	var out []string
	for _, f := range r.Findings {
		out = append(out, string(f.Severity)+" "+f.Rule+": "+f.String())
	}
	return out
}

func runCases(t *testing.T, cases []imageCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := lines(judged(t, c.image, c.opt))
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(c.want, "\n  "))
			}
		})
	}
}

// appImage is base plus a layer, started by /usr/bin/app.
func appImage(t *testing.T, items ...item) *crafted {
	return newImage("/usr/bin/app").layer(t, base()...).layer(t, items...)
}

func TestMachine(t *testing.T) {
	amd64 := binaryFile{machine: elf.EM_X86_64, kind: elf.ET_EXEC}
	archive := "!<arch>\n" + arMember("good.o/", string(binaryFile{kind: elf.ET_REL}.bytes())) +
		arMember("bad.o/", string(binaryFile{machine: elf.EM_AARCH64, kind: elf.ET_REL}.bytes()))
	app := binFile("usr/bin/app", program("libc.so.6"))
	damaged := program("libc.so.6").bytes()[:80]
	runCases(t, []imageCase{
		{name: "good", image: appImage(t, app)},
		{
			name:  "amd64 busybox",
			image: newImage("sh").layer(t, dir("bin", 0o755), binFile("bin/busybox", amd64), item{name: "bin/sh", hard: "bin/busybox", mode: 0o755}),
			want:  []string{"error machine: /bin/busybox is an ELF file for amd64, the image is for riscv64: build it for riscv64, or take it from a riscv64 package"},
		},
		{
			name:  "firmware that is allowed",
			image: appImage(t, app, binFile("usr/lib/firmware/dsp.elf", binaryFile{machine: elf.EM_ARM, kind: elf.ET_EXEC})),
			opt:   Options{Allow: []recipes.Allow{{Path: "/lib/firmware/dsp.elf", ISA: "mips arm", Why: "firmware"}}},
		},
		{
			name:  "static library with a foreign member",
			image: appImage(t, app, file("usr/lib/libx.a", 0o644, archive)),
			want:  []string{"error machine: /usr/lib/libx.a holds an ELF file for arm64 (bad.o), the image is for riscv64: build it for riscv64, or take it from a riscv64 package"},
		},
		{
			name: "objects, debug information and BPF are not run",
			image: appImage(t, app, binFile("usr/lib/crt1.o", binaryFile{kind: elf.ET_REL}),
				binFile("usr/lib/modules/x.ko", binaryFile{kind: elf.ET_REL, flags: 1, arch: gc}),
				binFile("usr/lib/bpf.o", binaryFile{machine: elf.EM_BPF, kind: elf.ET_REL}),
				binFile("usr/lib/debug/app.debug", binaryFile{interp: "/nowhere", needed: []string{"libgone.so"}, debugOnly: true})),
		},
		{
			name:  "damaged file",
			image: appImage(t, app, file("usr/bin/half", 0o755, string(damaged))),
			want: []string{"error elf: /usr/bin/half is a damaged ELF file: its headers cannot be read: EOF: " +
				"build it again, or leave it out with image.exclude"},
		},
		{
			name:  "wrong configuration",
			image: func() *crafted { c := appImage(t, app); c.config.Architecture = "amd64"; return c }(),
			want:  []string{"error platform: the configuration says linux/amd64, not linux/riscv64: build the image from a recipe, or take one that is published for linux/riscv64"},
		},
		{
			name: "diff id of other bytes",
			image: func() *crafted {
				c := appImage(t, app)
				c.config.RootFS.DiffIDs = c.config.RootFS.DiffIDs[:1]
				return c
			}(),
			want: []string{"error diff-id: the configuration names 1 layer, the manifest 2: build or fetch the image again"},
		},
	})
}

func arMember(name, body string) string {
	pad := func(s string, n int) string { return s + strings.Repeat(" ", n-len(s)) }
	out := pad(name, 16) + pad("0", 12) + pad("0", 6) + pad("0", 6) + pad("644", 8)
	out += pad(itoa(len(body)), 10) + "`\n" + body
	if len(body)%2 == 1 {
		out += "\n"
	}
	return out
}

func itoa(n int) string {
	raw, _ := json.Marshal(n)
	return string(raw)
}

func TestISA(t *testing.T) {
	vector := program("libc.so.6")
	vector.arch = strings.Replace(gc, "_zicsr", "_v1p0_zicsr", 1) + "_zve32f1p0_zve32x1p0_zve64d1p0_zve64f1p0_zve64x1p0_zvl128b1p0_zvl32b1p0_zvl64b1p0"
	silent := program("libc.so.6")
	silent.arch = ""
	soft := program("libc.so.6")
	soft.flags = 1
	stripped := vector
	stripped.noSections = true
	wantsV := "error isa: /usr/bin/app is built for rv64gcv; rv64gc has no v: build it with -march=rv64gc, or add a check.allow if it chooses at run time"
	allow := []recipes.Allow{{Path: "/usr/bin/a*", ISA: "v", Why: "dispatches"}}
	goFile := binaryFile{kind: elf.ET_EXEC, flags: 4, buildInfo: goBuildInfo("rva22u64")}
	runCases(t, []imageCase{
		{name: "vector", image: appImage(t, binFile("usr/bin/app", vector)), want: []string{wantsV}},
		{name: "vector without sections", image: appImage(t, binFile("usr/bin/app", stripped)), want: []string{wantsV}},
		{name: "vector within rva23u64", image: appImage(t, binFile("usr/bin/app", vector)), opt: Options{Profile: "rva23u64"}},
		{name: "vector allowed", image: appImage(t, binFile("usr/bin/app", vector)), opt: Options{Allow: allow}},
		{
			name: "allowed without need", image: appImage(t, binFile("usr/bin/app", program("libc.so.6"))), opt: Options{Allow: allow},
			want: []string{"note allow: /usr/bin/a* is allowed more by the recipe than it wants: remove this check.allow"},
		},
		{
			name: "no attributes", image: appImage(t, binFile("usr/bin/app", silent)),
			want: []string{"note no-isa: /usr/bin/app does not say which instructions it uses (no .riscv.attributes)"},
		},
		{
			name: "soft float", image: appImage(t, binFile("usr/bin/app", soft)),
			want: []string{"error float-abi: /usr/bin/app uses the soft-float ABI, the image's libraries the double-float ABI: build it with -mabi=lp64d"},
		},
		{
			name: "Go for rva22u64", image: newImage("/app").layer(t, binFile("app", goFile)),
			want: []string{"error goriscv64: /app was built by go1.26.8 with GORISCV64=rva22u64; rv64gc has no zba, zbb, zbs, zfhmin, zicbom, zicboz, zihpm: build it with GORISCV64=rva20u64"},
		},
		{name: "Go for rva22u64 on it", image: newImage("/app").layer(t, binFile("app", goFile)), opt: Options{Profile: "rva22u64"}},
	})
}

// goBuildInfo is the .go.buildinfo section of a Go program (debug/buildinfo,
// the format with strings inline).
func goBuildInfo(level string) []byte {
	mark := strings.Repeat("m", 16)
	mod := mark + "path\tx\nbuild\tGOARCH=riscv64\nbuild\tGORISCV64=" + level + "\n" + mark
	out := append([]byte("\xff Go buildinf:\x08\x02"), make([]byte, 16)...)
	out = append(out, byte(len("go1.26.8")))
	out = append(out, "go1.26.8"...)
	return append(append(out, byte(len(mod))), mod...)
}

func TestGoCompiler(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	must(t, os.WriteFile(filepath.Join(tmp, "go.mod"), []byte("module x\n"), 0o644))
	must(t, os.WriteFile(filepath.Join(tmp, "main.go"), []byte("package main\n\nfunc main() {}\n"), 0o644))
	cmd := exec.Command("go", "build", "-o", "app", ".")
	cmd.Dir = tmp
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=riscv64", "GORISCV64=rva22u64", "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	body, err := os.ReadFile(filepath.Join(tmp, "app"))
	must(t, err)
	report := judged(t, newImage("/app").layer(t, item{name: "app", mode: 0o755, body: body}), Options{})
	if got := lines(report); len(got) != 1 || !strings.Contains(got[0], "GORISCV64=rva22u64; rv64gc has no zba") {
		t.Errorf("got %q", got)
	}
	report = judged(t, newImage("/app").layer(t, item{name: "app", mode: 0o755, body: body}), Options{Profile: "rva22u64"})
	must(t, report.Err())
}

func TestPermissions(t *testing.T) {
	app := binFile("usr/bin/app", program("libc.so.6"))
	su := item{name: "usr/bin/su", mode: 0o4755, body: program("libc.so.6").bytes()}
	ping := item{name: "usr/bin/ping", mode: 0o755, body: program("libc.so.6").bytes(), caps: true}
	runCases(t, []imageCase{
		{
			name: "world-writable", image: appImage(t, app, dir("data", 0o777), file("etc/x", 0o666, "")),
			want: []string{
				"error world-writable: /data is a dir that everyone may write (mode 0777): give it mode 0775 or an owner, or the sticky bit if everyone must write there",
				"error world-writable: /etc/x is a file that everyone may write (mode 0666): give it mode 0664 or an owner, or the sticky bit if everyone must write there",
			},
		},
		{
			name: "setuid", image: appImage(t, app, su, dir("var/mail", 0o2775)),
			want: []string{"error setuid: /usr/bin/su is setuid (mode 4755, owner 0:0) and the recipe does not name it: name it in image.setuid if the image needs it, or leave it out with image.exclude"},
		},
		{name: "setuid that is named", image: appImage(t, app, su), opt: Options{Setuid: []string{"/bin/su"}}},
		{name: "capabilities", image: appImage(t, app, ping), want: []string{"note capability: /usr/bin/ping has file capabilities"}},
	})
}

func TestIndex(t *testing.T) {
	store := newStore(t)
	image := newImage("/app").layer(t, binFile("app", binaryFile{kind: elf.ET_EXEC, flags: 4, arch: gc}))
	desc := image.store(t, store)
	index := func(platforms ...string) ocispec.Descriptor {
		ix := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
		for _, arch := range platforms {
			d := desc
			d.Platform = &ocispec.Platform{OS: "linux", Architecture: arch}
			ix.Manifests = append(ix.Manifests, d)
		}
		raw, err := json.Marshal(ix)
		must(t, err)
		return put(t, store, ocispec.MediaTypeImageIndex, raw)
	}
	report, err := Image(context.Background(), store, index("amd64", "riscv64"), Options{})
	must(t, err)
	must(t, report.Err())
	report, err = Image(context.Background(), store, index("arm64", "amd64"), Options{})
	must(t, err)
	want := "checking the image: 1 problem\n  the image index holds linux/amd64, linux/arm64, not linux/riscv64: " +
		"build the image from a recipe, or take one that is published for linux/riscv64"
	if err := report.Err(); err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

func TestReport(t *testing.T) {
	cache := newCache()
	store := newStore(t)
	desc := appImage(t, binFile("usr/bin/app", program("libc.so.6")), dir("a", 0o777), dir("b", 0o777)).store(t, store)
	var first []byte
	for i := range 5 {
		report, err := Image(context.Background(), store, desc, Options{Cache: cache})
		must(t, err)
		raw, err := json.Marshal(report)
		must(t, err)
		if first == nil {
			first = raw
		}
		if string(raw) != string(first) {
			t.Fatalf("run %d differs:\n%s\n%s", i, raw, first)
		}
	}
	if cache.hits != 8 || len(cache.values) != 2 {
		t.Errorf("%d hits, %d values", cache.hits, len(cache.values))
	}
	var report Report
	must(t, json.Unmarshal(first, &report))
	report.Findings = nil
	if want := (Report{Platform: "linux/riscv64", Profile: "rv64gc", Layers: 2, Files: 4, ELF: 4, ISA: []string{"rv64gc"}}); !reflect.DeepEqual(report, want) {
		t.Errorf("got %+v", report)
	}
}

func TestBadOptions(t *testing.T) {
	for _, c := range []struct {
		opt  Options
		want string
	}{
		{Options{Profile: "rv32gc"}, `reading the ISA "rv32gc": it is neither rv64... nor one of rva20u64, rva22u64, rva23u64: name one of them`},
		{Options{Profile: "rv64g-c"}, `reading the ISA "rv64g-c": "-c" is no extension: write it as in rv64gc_zba_zbb`},
		{Options{Allow: []recipes.Allow{{Path: "/x", ISA: "rv64!"}}}, `reading check.allow of "/x": reading the ISA "rv64!": "!" is no extension: write it as in rv64gc_zba_zbb`},
	} {
		_, err := Judge(ocispec.Image{}, nil, c.opt)
		if err == nil || err.Error() != c.want {
			t.Errorf("got %v\nwant %s", err, c.want)
		}
	}
}
