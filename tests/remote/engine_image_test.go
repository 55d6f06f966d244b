package remote

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/tests/rig"
)

var update = flag.Bool("update", false, "write the lists of what the engine's image holds")

// engineArches are the architectures that images are made for here.
func engineArches() []string {
	if rig.Full {
		return []string{"amd64", "arm64", "riscv64"}
	}
	return []string{"amd64", "riscv64"}
}

const engineName = "riscv-build.local/engine:test"

// engineState is the state directory that the tests of this package share.
func engineState() string { return filepath.Join(rig.Work, "client") }

// besides puts the program for all architectures beside the one under test, as
// a release does.
func besides(t *testing.T) {
	t.Helper()
	if err := binaries(); err != nil {
		t.Fatal(err)
	}
}

var binaries = sync.OnceValue(func() error {
	for _, arch := range engineArches() {
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", released(arch), "./cmd/riscv-build")
		cmd.Dir = rig.Root()
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("building the program for %s: %w\n%s", arch, err, out)
		}
	}
	return nil
})

// released is the program for an architecture.
func released(arch string) string {
	return filepath.Join(filepath.Dir(rig.Binary), "riscv-build-linux-"+arch)
}

type engineReport struct {
	Digest string
	Names  []string
	Arches []string
	Bytes  int64
}

// engineImage writes an image of the engine to a file.
func engineImage(t *testing.T, state, file string, args ...string) engineReport {
	t.Helper()
	besides(t)
	// The program under test has symbols, which a release does not have.
	own := runtime.GOARCH + "=" + released(runtime.GOARCH)
	r := rig.Run(t.Context(), nil, append([]string{"engine", "image", "--state-dir", state, "-o", file, "--tag", engineName, "--binary", own, "--json"}, args...)...)
	var report engineReport
	if err := json.Unmarshal([]byte(r.Stdout), &report); r.Code != 0 || err != nil {
		t.Fatalf("engine image: exit %d, %v\n%s\n%s", r.Code, err, r.Stdout, rig.Tail(r.Stderr, 30))
	}
	return report
}

// TestEngineImage: the same bytes twice, from downloads alone; what is in them
// is what the lists of this package say; every engine takes them and runs what
// is inside.
func TestEngineImage(t *testing.T) {
	dir := t.TempDir()
	all := filepath.Join(dir, "all.tar")
	report := engineImage(t, engineState(), all, "--arch", strings.Join(engineArches(), ","))
	again, other := filepath.Join(dir, "again.tar"), filepath.Join(dir, "state")
	if err := os.MkdirAll(other, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := rig.Sh("cp", "-r", filepath.Join(engineState(), "content"), other); err != nil {
		t.Fatal(err)
	}
	if r := engineImage(t, other, again, "--offline", "--arch", strings.Join(engineArches(), ",")); r.Digest != report.Digest {
		t.Errorf("two images of one lock: %s and %s", report.Digest, r.Digest)
	}
	if one, two := hash(t, all), hash(t, again); one != two {
		t.Error("two archives of one image differ")
	}
	t.Run("holds", func(t *testing.T) { holds(t, all) })
	single := filepath.Join(dir, "single.tar")
	engineImage(t, engineState(), single, "--arch", "amd64", "--offline")
	for name, load := range map[string]func(*testing.T, string, string){"docker": intoDocker, "podman": intoPodman, "containerd": intoContainerd} {
		t.Run(name, func(t *testing.T) { load(t, single, all) })
	}
	rig.Figure{Line: "engine image", Got: fmt.Sprintf("%d MB for %d architectures", report.Bytes>>20, len(engineArches())), Limit: "30 MB each",
		OK: report.Bytes < int64(len(engineArches()))*30e6 && !t.Failed()}.Report(t)
}

func hash(t *testing.T, file string) string {
	t.Helper()
	out, err := rig.Sh("sha256sum", file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(out)[0]
}

// holds compares what the images hold with the lists in testdata.
func holds(t *testing.T, file string) {
	blobs := members(t, file)
	var top, index ocispec.Index
	decode(t, blobs["index.json"], &top)
	decode(t, blob(blobs, top.Manifests[0]), &index)
	if len(index.Manifests) != len(engineArches()) {
		t.Fatalf("%s", blobs["index.json"])
	}
	for i, arch := range engineArches() {
		var m ocispec.Manifest
		var config ocispec.Image
		decode(t, blob(blobs, index.Manifests[i]), &m)
		decode(t, blob(blobs, m.Config), &config)
		if config.Architecture != arch || config.OS != "linux" || config.Config.Entrypoint[1] != "engine" {
			t.Errorf("%+v", config)
		}
		var list []string
		for _, l := range m.Layers {
			list = append(list, listed(t, blob(blobs, l))...)
		}
		slices.Sort(list)
		got := strings.Join(list, "\n") + "\n"
		golden := filepath.Join("testdata", "engine-"+arch+".txt")
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil || got != string(want) {
			t.Errorf("the image for %s holds something else than %s says (%v); `go test ./tests/remote -run TestEngineImage -update` writes it:\n%s", arch, golden, err, got)
		}
	}
}

func decode(t *testing.T, raw []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
}

func blob(all map[string][]byte, d ocispec.Descriptor) []byte {
	return all["blobs/sha256/"+d.Digest.Encoded()]
}

// members reads an archive.
func members(t *testing.T, file string) map[string][]byte {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all := map[string][]byte{}
	each(t, f, func(h *tar.Header, r io.Reader) {
		if all[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	})
	return all
}

// listed lists a layer: mode, path, target of a link. Certificates and notes of
// dpkg are many; their directories stand for them.
func listed(t *testing.T, layer []byte) []string {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(layer))
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	each(t, z, func(h *tar.Header, _ io.Reader) {
		for _, many := range []string{"usr/share/ca-certificates/", "etc/ssl/certs/", "var/lib/dpkg/info/", "usr/share/doc/", "usr/share/common-licenses/"} {
			if strings.HasPrefix(h.Name, many) && h.Name != many && h.Name != "etc/ssl/certs/ca-certificates.crt" {
				return
			}
		}
		line := fmt.Sprintf("%s %v", h.Name, h.FileInfo().Mode())
		if h.Linkname != "" {
			line += " -> " + h.Linkname
		}
		list = append(list, line)
	})
	return list
}

func each(t *testing.T, r io.Reader, f func(*tar.Header, io.Reader)) {
	t.Helper()
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		f(h, tr)
	}
}

// inside are commands that run in the image, and what they say.
var inside = []struct{ run, says string }{
	{"riscv-build version", "riscv-build "},
	{"runc --version", "runc version 1."},
	{"qemu-riscv64 --version", "qemu-riscv64 version 10."},
}

// runs runs what is in the image, and has a container prepared.
func runs(t *testing.T, c rig.Containers) {
	t.Helper()
	for _, i := range inside {
		words := strings.Fields(i.run)
		if out := c.Must(append([]string{"run", "--rm", "--network", "none", "--entrypoint", words[0], engineName}, words[1:]...)...); !strings.HasPrefix(out, i.says) {
			t.Errorf("%s: %q, want %q", i.run, out, i.says)
		}
	}
	c.Must("run", "--rm", "--network", "none", "--privileged", "--entrypoint", "riscv-build", engineName, "engine", "prepare")
}

func load(t *testing.T, c rig.Containers, file string) string {
	t.Helper()
	return c.Must("load", "--input", file)
}

func intoDocker(t *testing.T, single, all string) {
	c := rig.StartPrivilegedDocker(t)
	load(t, c, single)
	runs(t, c)
	c.Must("rmi", engineName)
	// This Docker is of those that know no indexes.
	load(t, c, all)
	if got := c.Must("run", "--rm", "--network", "none", "--platform", "linux/riscv64", "--entrypoint", "runc", engineName+"-riscv64", "--version"); !strings.HasPrefix(got, "runc version") {
		t.Errorf("the image for riscv64: %q", got)
	}
	if got := c.Must("image", "inspect", "--format", "{{.Architecture}}", engineName+"-amd64"); got != "amd64" {
		t.Errorf("the image for amd64 is for %q", got)
	}
}

func intoPodman(t *testing.T, single, all string) {
	c := rig.StartPodman(t)
	load(t, c, single)
	runs(t, c)
	c.Must("rmi", engineName)
	load(t, c, all)
	runs(t, c)
}

func intoContainerd(t *testing.T, single, all string) {
	ctr := rig.Need(t, "ctr", "containerd")
	dir, err := os.MkdirTemp(rig.Work, "containerd-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	config := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(config, []byte("version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "containerd.sock")
	rig.Start(t, rig.Need(t, "containerd", "containerd"), "-c", config, "--root", filepath.Join(dir, "root"), "--state", filepath.Join(dir, "state"), "--address", socket)
	say := func(args ...string) string {
		t.Helper()
		out, err := rig.Sh(ctr, append([]string{"--address", socket}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	rig.WaitFor(t, time.Minute, "containerd", func() bool { _, err := rig.Sh(ctr, "--address", socket, "version"); return err == nil })
	for _, file := range []string{single, all} {
		say("images", "import", file)
		if got := say("run", "--rm", engineName, fmt.Sprintf("test-%d", time.Now().UnixNano()), "/usr/sbin/runc", "--version"); !strings.Contains(got, "runc version") {
			t.Errorf("%s: %q", file, got)
		}
	}
	if got := say("images", "check", "name=="+engineName); !strings.Contains(got, "complete") {
		t.Errorf("after the index: %s", got)
	}
}
