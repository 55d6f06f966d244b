package graph

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

var update = flag.Bool("update", false, "rewrite the goldens")

func input(mode Mode) Input {
	in := Input{
		Recipe: "hello", Mode: mode, Host: ocispec.Platform{OS: "linux", Architecture: "amd64"},
		Toolchain: digest.FromString("toolchain"), Sysroot: digest.FromString("sysroot"), Sources: digest.FromString("sources"),
		Unpack: UnpackScript([]SourceFiles{{Name: "hello", Into: ".", Files: []string{"hello_1.dsc", "hello_1.orig.tar.gz", "hello_1.orig-extra.tar.xz", "hello_1-1.debian.tar.xz"}}, {Name: "own", Into: "own"}}, []string{"0001-it's.patch"}),
		Steps:  []Step{{"configure", "./configure"}, {"compile", "make -j$JOBS"}, {"install", "make install"}},
		Dir:    "sub", Env: map[string]string{"B": "2", "A": "1", "TZ": "Asia/Shanghai"},
		Date: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	if mode != Cross {
		in.Host = riscv64
	}
	return in
}

func TestGoldenGraphs(t *testing.T) {
	for _, mode := range []Mode{Cross, Native, Emulate} {
		def, err := Marshal(context.Background(), input(mode))
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		for _, format := range Formats[:2] {
			if err := Print(&got, def, format); err != nil {
				t.Fatal(err)
			}
		}
		golden := filepath.Join("testdata", string(mode)+".txt")
		if *update {
			if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s: the graph differs from %s; run the test with -update and look at the difference:\n%s", mode, golden, got.String())
		}
	}
}

func TestNativeAndEmulatedGraphsAreEqual(t *testing.T) {
	a, _ := Marshal(context.Background(), input(Native))
	b, _ := Marshal(context.Background(), input(Emulate))
	if !bytes.Equal(a, b) {
		t.Error("native and emulate gave different graphs")
	}
}

func TestBytesAreEqualRunAfterRun(t *testing.T) {
	first, err := Marshal(context.Background(), input(Cross))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 25 {
		again, err := Marshal(context.Background(), input(Cross))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first, again) {
			t.Fatalf("run %d gave other bytes", i)
		}
	}
}

func TestNoExecHasNetwork(t *testing.T) {
	defs := map[string][]byte{}
	for _, m := range []Mode{Cross, Native} {
		defs[string(m)], _ = Marshal(context.Background(), input(m))
	}
	defs["configure"], _ = Configure(context.Background(), "hello", digest.FromString("root"), time.Unix(0, 0))
	for name, def := range defs {
		vs, err := Vertices(def)
		if err != nil {
			t.Fatal(err)
		}
		execs := 0
		for _, v := range vs {
			if v.Kind == "exec" {
				execs++
				if v.Network != "none" {
					t.Errorf("%s: %s has network %q", name, v.Name, v.Network)
				}
			}
		}
		if execs == 0 {
			t.Errorf("%s: no exec in the graph", name)
		}
	}
}

func TestOnlyTheTargetsCodeIsEmulated(t *testing.T) {
	def, _ := Marshal(context.Background(), input(Cross))
	vs, _ := Vertices(def)
	for _, v := range vs {
		if v.Kind == "exec" && v.Platform != "linux/amd64" {
			t.Errorf("%s runs on %s in cross mode", v.Name, v.Platform)
		}
	}
}

func TestErrors(t *testing.T) {
	in := input(Cross)
	in.Steps = nil
	_, err := Marshal(context.Background(), in)
	if err == nil || !strings.Contains(err.Error(), `recipe "hello"`) {
		t.Errorf("no steps: %v", err)
	}
	if err := Print(&bytes.Buffer{}, nil, "svg"); err == nil || !strings.Contains(err.Error(), "text, json, dot, llb") {
		t.Errorf("format: %v", err)
	}
	if _, err := Vertices([]byte("rubbish")); err == nil {
		t.Error("rubbish was read as a graph")
	}
}

func TestDot(t *testing.T) {
	def, _ := Marshal(context.Background(), input(Cross))
	var b bytes.Buffer
	if err := Print(&b, def, "dot"); err != nil || !strings.HasPrefix(b.String(), "digraph {") {
		t.Errorf("%v: %s", err, b.String())
	}
	b.Reset()
	if err := Print(&b, def, "llb"); err != nil || !bytes.Equal(b.Bytes(), def) {
		t.Error("llb is not the definition itself")
	}
}
