//go:build linux

package embedded

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/moby/buildkit/client/llb"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/riscv-build/riscv-build/builder/engine"
)

// sourceDate is the time of every file that the tests' graphs make.
var sourceDate = time.Unix(1700000000, 0).UTC()

// What the engine keeps of output, as its users read it.
const (
	outputLimit = 1 << 20 // bytes of each stream of a run
	logLines    = 40      // of a failing step
)

// fixture is what all tests of this package share: the tool for both
// architectures, in images of one content store.
type fixture struct {
	dir    string
	store  content.Store
	host   ocispec.Descriptor // image of the tool for this machine
	target ocispec.Descriptor // image of the tool for riscv64, layers compressed
	err    error
}

var shared = sync.OnceValue(makeFixture)

// need is the fixture. A machine that cannot run the tests fails them, with what to install.
func need(t *testing.T) *fixture {
	t.Helper()
	f := shared()
	if f.err != nil {
		t.Fatal(f.err)
	}
	return f
}

func makeFixture() *fixture {
	f := &fixture{}
	f.err = func() (err error) {
		if err := checkEnvironment(context.Background(), runcBackend{}); err != nil {
			return fmt.Errorf("the tests of this package start containers: %w", err)
		}
		info, err := Identify(context.Background())
		if err != nil {
			return err
		}
		if info.Emulator == "" {
			return errors.New("the tests of this package run riscv64 programs: install the package qemu-user-static and run `riscv-build doctor --fix`")
		}
		if f.dir, err = os.MkdirTemp("", "engine-fixture-"); err != nil {
			return err
		}
		if f.store, err = local.NewStore(filepath.Join(f.dir, "content")); err != nil {
			return err
		}
		if f.host, err = f.toolImage(runtime.GOARCH, false); err != nil {
			return err
		}
		f.target, err = f.toolImage("riscv64", true)
		return err
	}()
	return f
}

func (f *fixture) remove() {
	if f.dir != "" {
		_ = os.RemoveAll(f.dir)
	}
}

// toolImage compiles the tool and makes an image of it.
func (f *fixture) toolImage(arch string, compress bool) (ocispec.Descriptor, error) {
	path := filepath.Join(f.dir, "tool-"+arch)
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "./testdata/tool")
	build.Env = append(os.Environ(), "GOARCH="+arch, "GOOS=linux", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("compiling the tests' tool: %w: %s", err, out)
	}
	binary, err := os.ReadFile(path)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	layer, err := tarOf(binary)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	diffID := digest.FromBytes(layer)
	mediaType := ocispec.MediaTypeImageLayer
	if compress {
		var buf bytes.Buffer
		zip := gzip.NewWriter(&buf)
		if _, err := zip.Write(layer); err != nil {
			return ocispec.Descriptor{}, err
		}
		if err := zip.Close(); err != nil {
			return ocispec.Descriptor{}, err
		}
		layer, mediaType = buf.Bytes(), ocispec.MediaTypeImageLayerGzip
	}
	layerDesc, err := f.put(mediaType, layer)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	config, err := f.putJSON(ocispec.MediaTypeImageConfig, ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: arch},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{diffID}},
	})
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return f.putJSON(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    config,
		Layers:    []ocispec.Descriptor{layerDesc},
	})
}

// tarOf is a root with the tool, a user "web" and a log file that is a link to standard output.
func tarOf(binary []byte) ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range []struct {
		tar.Header
		data []byte
	}{
		{tar.Header{Name: "tool", Mode: 0o755}, binary},
		{tar.Header{Name: "etc/", Typeflag: tar.TypeDir, Mode: 0o755}, nil},
		{tar.Header{Name: "etc/passwd", Mode: 0o644}, []byte("root:x:0:0::/:/\nweb:x:101:102::/:/\n")},
		{tar.Header{Name: "etc/group", Mode: 0o644}, []byte("root:x:0:\nweb:x:102:\n")},
		{tar.Header{Name: "log", Typeflag: tar.TypeSymlink, Linkname: "/dev/stdout", Mode: 0o777}, nil},
	} {
		e.ModTime, e.Size, e.Format = sourceDate, int64(len(e.data)), tar.FormatPAX
		if err := w.WriteHeader(&e.Header); err != nil {
			return nil, err
		}
		if _, err := w.Write(e.data); err != nil {
			return nil, err
		}
	}
	return buf.Bytes(), w.Close()
}

func (f *fixture) put(mediaType string, data []byte) (ocispec.Descriptor, error) {
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	err := content.WriteBlob(context.Background(), f.store, desc.Digest.String(), bytes.NewReader(data), desc)
	return desc, err
}

func (f *fixture) putJSON(mediaType string, v any) (ocispec.Descriptor, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return f.put(mediaType, data)
}

// hostTool is the state of the image for this machine, as every graph names images.
func (f *fixture) hostTool() llb.State {
	return llb.OCILayout(engine.StoreName+"/tool@"+f.host.Digest.String(), llb.OCIStore("", engine.StoreName))
}

// artifacts is a graph as riscv-build makes them: a command of this machine writes /out, which is copied to scratch.
func (f *fixture) artifacts(t *testing.T, opts ...llb.RunOption) []byte {
	t.Helper()
	run := f.hostTool().File(llb.Mkdir("/out", 0o755)).Run(opts...).Root()
	st := llb.Scratch().File(llb.Copy(run, "/out/", "/", &llb.CopyInfo{CreateDestPath: true, CopyDirContentsOnly: true, CreatedTime: &sourceDate}))
	return marshal(t, st)
}

func marshal(t *testing.T, st llb.State) []byte {
	t.Helper()
	def, err := st.Marshal(context.Background(), llb.Platform(ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH}))
	if err != nil {
		t.Fatal(err)
	}
	data, err := def.ToPB().MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// open opens an engine in a directory of its own, closed at the test's end.
func open(t *testing.T, opts Options) *Engine {
	t.Helper()
	need(t)
	if opts.Root == "" {
		opts.Root = filepath.Join(t.TempDir(), "buildkit")
	}
	if opts.Notice == nil {
		opts.Notice = t.Logf
	}
	e, err := Open(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e.(*Engine)
}
