package pusher

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/plugins/content/local"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestLayoutRoundTrip(t *testing.T) {
	img := testImage(t, "riscv64", noise(100<<10, 1), "two")
	refs := []string{"http://192.168.1.5:6000/team/nginx:1", "nginx"}
	for _, name := range []string{"layout", "image.tar"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), name)
			for range 2 { // the second time over the first
				if err := WriteLayout(t.Context(), img, refs, path); err != nil {
					t.Fatal(err)
				}
			}
			l, err := OpenLayout(path)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if l.Desc.Digest != img.Desc.Digest || strings.Join(l.Refs, " ") != "192.168.1.5:6000/team/nginx:1 docker.io/library/nginx:latest" {
				t.Errorf("got %s %q", l.Desc.Digest, l.Refs)
			}
			m, err := readManifest(t.Context(), l.Image)
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range m.blobs {
				if _, err := readBlob(t.Context(), l.Provider, b); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestLayoutReplaces: nothing of the old image stays, nothing foreign is lost.
func TestLayoutReplaces(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layout")
	a, b := testImage(t, "riscv64", "a"), testImage(t, "riscv64", "b")
	for _, img := range []Image{a, b} {
		if err := WriteLayout(t.Context(), img, nil, dir); err != nil {
			t.Fatal(err)
		}
	}
	blobs, err := os.ReadDir(filepath.Join(dir, "blobs", "sha256"))
	if err != nil || len(blobs) != 3 {
		t.Errorf("%d blobs, %v", len(blobs), err)
	}
	foreign := t.TempDir()
	write(t, filepath.Join(foreign, "thesis.txt"), "x")
	if err := WriteLayout(t.Context(), a, nil, foreign); err == nil || !strings.Contains(err.Error(), "thesis.txt") {
		t.Errorf("got %v", err)
	}
	if err := WriteLayout(t.Context(), a, nil, filepath.Join(foreign, "x.tar.gz")); err == nil {
		t.Error("a compressed archive was promised")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	tarFile := filepath.Join(t.TempDir(), "x.tar")
	if err := WriteLayout(ctx, a, nil, tarFile); err == nil {
		t.Error("cancelled, but written")
	}
	if left, _ := os.ReadDir(filepath.Dir(tarFile)); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestArchiveIsDeterministic(t *testing.T) {
	img := testImage(t, "riscv64", "a", "b")
	var got [2][]byte
	for i := range got {
		path := filepath.Join(t.TempDir(), "x.tar")
		if err := WriteLayout(t.Context(), img, []string{"h.example/x:1"}, path); err != nil {
			t.Fatal(err)
		}
		var err error
		if got[i], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got[0], got[1]) {
		t.Error("two archives of one image differ")
	}
}

// tarOf writes an archive with the given members in order.
func tarOf(t *testing.T, members ...tar.Header) string {
	t.Helper()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for _, h := range members {
		text := h.Uname // the text of the member
		h.Uname = ""
		h.Mode = 0o644
		h.Size = int64(len(text))
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if err := tw.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(tw, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "image.tar")
	write(t, path, b.String())
	return path
}

// TestDockerArchive reads what `docker save` wrote before it had an index.
func TestDockerArchive(t *testing.T) {
	config := func(arch string) string {
		return string(marshal(t, ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: arch}}))
	}
	path := tarOf(t,
		tar.Header{Name: "aa.json", Uname: config("amd64")},
		tar.Header{Name: "bb.json", Uname: config("riscv64")},
		tar.Header{Name: "1/layer.tar", Uname: "first layer"},
		tar.Header{Name: "2/layer.tar", Typeflag: tar.TypeSymlink, Linkname: "../1/layer.tar"},
		tar.Header{Name: "manifest.json", Uname: `[
			{"Config":"aa.json","RepoTags":["x:amd"],"Layers":["1/layer.tar"]},
			{"Config":"bb.json","RepoTags":["x:risc","y:risc"],"Layers":["1/layer.tar","2/layer.tar"]}]`},
	)
	l, err := OpenLayout(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if strings.Join(l.Refs, " ") != "x:risc y:risc" {
		t.Errorf("refs %q", l.Refs)
	}
	raw, err := readBlob(t.Context(), l.Provider, l.Desc)
	if err != nil {
		t.Fatal(err)
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil || len(m.Layers) != 2 || m.Layers[0].Digest != m.Layers[1].Digest {
		t.Errorf("%s, %v", raw, err)
	}
	host := startRegistry(t, registryConfig{})
	res, err := New(quick()).Push(t.Context(), l.Image, []string{"http://" + host + "/x:1"})
	if err != nil || res.UploadedBlobs != 2 {
		t.Errorf("%+v, %v", res, err)
	}
}

// layoutOf writes a layout with several images.
func layoutOf(t *testing.T, images ...Image) string {
	t.Helper()
	dir := t.TempDir()
	var index ocispec.Index
	for _, img := range images {
		if err := WriteLayout(t.Context(), img, nil, filepath.Join(dir, "one")); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(dir, os.DirFS(filepath.Join(dir, "one", "blobs"))); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(dir, "one")); err != nil {
			t.Fatal(err)
		}
		index.Manifests = append(index.Manifests, img.Desc)
	}
	if err := os.Mkdir(filepath.Join(dir, "blobs"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "sha256"), filepath.Join(dir, "blobs", "sha256")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "index.json"), string(marshal(t, index)))
	return dir
}

func TestOpenLayoutErrors(t *testing.T) {
	store, err := local.NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	img := func(arch, layer string) Image { return imageIn(t, store, arch, layer) }
	var zipped bytes.Buffer
	zw := gzip.NewWriter(&zipped)
	_, _ = zw.Write(make([]byte, 2048))
	_ = zw.Close()
	gz := filepath.Join(t.TempDir(), "x.tar.gz")
	write(t, gz, zipped.String())
	cases := []struct{ name, path, want string }{
		{"missing", "/nonexistent/x.tar", "no such file"},
		{"empty directory", t.TempDir(), "index.json"},
		{"compressed", gz, "gunzip"},
		{"other tar", tarOf(t, tar.Header{Name: "x", Uname: "y"}), "neither index.json nor manifest.json"},
		{"bad index", tarOf(t, tar.Header{Name: "index.json", Uname: "{"}), "reading index.json"},
		{"no image", tarOf(t, tar.Header{Name: "index.json", Uname: "{}"}), "no image in it"},
		{"lost layer", tarOf(t, tar.Header{Name: "c", Uname: "{}"}, tar.Header{Name: "manifest.json", Uname: `[{"Config":"c","Layers":["gone"]}]`}), `"gone"`},
		{"no riscv64", layoutOf(t, img("amd64", "x"), img("arm64", "y")), "no linux/riscv64 image"},
		{"two riscv64", layoutOf(t, img("riscv64", "x"), img("riscv64", "y")), "2 linux/riscv64 images"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := OpenLayout(c.path)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.path) {
				t.Errorf("got %v", err)
			}
		})
	}
	l, err := OpenLayout(layoutOf(t, img("amd64", "x"))) // alone: the check says what it is
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	l, err = OpenLayout(layoutOf(t, img("amd64", "x"), img("riscv64", "z")))
	if err != nil || l.Desc.Digest != img("riscv64", "z").Desc.Digest {
		t.Errorf("%v, %v", l, err)
	}
}

// TestSkopeoReads holds our layouts against another reader.
func TestSkopeoReads(t *testing.T) {
	skopeo, err := exec.LookPath("skopeo")
	if err != nil {
		t.Fatal("the second reader of layouts is missing: apt-get install skopeo")
	}
	img := testImage(t, "riscv64", gzipped(t, tarBytes(t)))
	dir := t.TempDir()
	for path, name := range map[string]string{
		filepath.Join(dir, "layout"): "oci:" + filepath.Join(dir, "layout"),
		filepath.Join(dir, "a.tar"):  "oci-archive:" + filepath.Join(dir, "a.tar"),
		filepath.Join(dir, "b.tar"):  "docker-archive:" + filepath.Join(dir, "b.tar"),
	} {
		if err := WriteLayout(t.Context(), img, []string{"192.168.1.5:6000/x:1"}, path); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(skopeo, "--override-arch", "riscv64", "inspect", "--raw", name).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func tarBytes(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(tarOf(t, tar.Header{Name: "etc/x", Uname: "x"}))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func gzipped(t *testing.T, s string) string {
	t.Helper()
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	if _, err := io.WriteString(zw, s); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
