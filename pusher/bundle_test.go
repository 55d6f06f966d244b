package pusher

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// unpacked reads an archive that WriteBundle wrote: its members and their texts.
func unpacked(t *testing.T, path string) (order []string, texts map[string][]byte) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var r io.Reader = bytes.NewReader(raw)
	switch {
	case strings.HasSuffix(path, ".zst"):
		r, err = zstd.NewReader(r)
	case strings.HasSuffix(path, ".gz"):
		r, err = gzip.NewReader(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	texts = map[string][]byte{}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return order, texts
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		order = append(order, h.Name)
		if texts[h.Name], err = io.ReadAll(tr); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWriteBundle(t *testing.T) {
	shared := noise(50<<10, 7)
	a, b := testImage(t, "riscv64", shared, "a"), testImage(t, "riscv64", shared, "b")
	all := []Named{
		{a, []string{"docker.io/rancher/mirrored-pause:3.6", "registry.k8s.io/pause:3.6"}},
		{b, []string{"docker.io/rancher/mirrored-library-busybox:1.37.0"}},
	}
	for _, name := range []string{"k3s.tar.zst", "k3s.tar.gz", "k3s.tar"} {
		var bytesOf [2][]byte
		var path string
		for i := range bytesOf {
			path = filepath.Join(t.TempDir(), name)
			if err := WriteBundle(t.Context(), all, path); err != nil {
				t.Fatal(err)
			}
			bytesOf[i], _ = os.ReadFile(path)
		}
		if !bytes.Equal(bytesOf[0], bytesOf[1]) {
			t.Errorf("%s: two archives of the same images differ", name)
		}
		order, texts := unpacked(t, path)
		if !slices.IsSorted(order) || len(order) != len(texts) {
			t.Errorf("%s: members %v", name, order)
		}
		var index ocispec.Index
		var list []dockerImage
		if json.Unmarshal(texts["index.json"], &index) != nil || json.Unmarshal(texts["manifest.json"], &list) != nil {
			t.Fatalf("%s: %s, %s", name, texts["index.json"], texts["manifest.json"])
		}
		var got, tags []string
		for _, d := range index.Manifests {
			got = append(got, d.Annotations["io.containerd.image.name"]+" "+d.Annotations[ocispec.AnnotationRefName]+" "+d.Platform.Architecture)
		}
		for _, i := range list {
			tags = append(tags, i.RepoTags...)
		}
		if want := "docker.io/rancher/mirrored-pause:3.6 3.6 riscv64,registry.k8s.io/pause:3.6 3.6 riscv64,docker.io/rancher/mirrored-library-busybox:1.37.0 1.37.0 riscv64"; strings.Join(got, ",") != want {
			t.Errorf("%s: index names %v", name, got)
		}
		if want := "rancher/mirrored-pause:3.6 registry.k8s.io/pause:3.6 rancher/mirrored-library-busybox:1.37.0"; strings.Join(tags, " ") != want || len(list) != 2 {
			t.Errorf("%s: manifest.json names %v", name, tags)
		}
		// Two manifests, two configurations, two layers of their own and the shared one; three files around them.
		if len(order) != 7+3 {
			t.Errorf("%s: %d members: %v", name, len(order), order)
		}
	}
}

func TestWriteBundleRefuses(t *testing.T) {
	dir := t.TempDir()
	img := testImage(t, "riscv64", "x")
	for _, c := range []struct{ path, name, want string }{
		{filepath.Join(dir, "x.tar.xz"), "docker.io/x:1", "FILE.tar.zst"},
		{filepath.Join(dir, "none", "x.tar"), "docker.io/x:1", "make the directory first"},
		{filepath.Join(dir, "x.tar"), "docker.io/X:1", "lower case"},
		{filepath.Join(dir, "x.tar"), "docker.io/x@" + img.Desc.Digest.String(), "no tag"},
	} {
		err := WriteBundle(t.Context(), []Named{{img, []string{c.name}}}, c.path)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, %s: %v", c.path, c.name, err)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestWriteBundleOfAnIndex: who knows indexes gets it under its names, who does
// not gets each image under names of its own.
func TestWriteBundleOfAnIndex(t *testing.T) {
	store, err := local.NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for _, arch := range []string{"amd64", "riscv64"} {
		index.Manifests = append(index.Manifests, imageIn(t, store, arch, "shared", arch).Desc)
	}
	img := Image{store, put(t, store, index.MediaType, marshal(t, index))}
	path := filepath.Join(t.TempDir(), "x.tar")
	if err := WriteBundle(t.Context(), []Named{{img, []string{"engine.local/engine:1", "engine.local/engine:2"}}}, path); err != nil {
		t.Fatal(err)
	}
	order, texts := unpacked(t, path)
	if !slices.IsSorted(order) || len(order) != 1+2*2+3+3 { // index, manifests and configurations, layers, the files around them
		t.Errorf("members %v", order)
	}
	var got ocispec.Index
	var list []dockerImage
	if json.Unmarshal(texts["index.json"], &got) != nil || json.Unmarshal(texts["manifest.json"], &list) != nil || len(list) != 2 {
		t.Fatalf("%s, %s", texts["index.json"], texts["manifest.json"])
	}
	for i, d := range got.Manifests {
		if d.Digest != img.Desc.Digest || d.Platform != nil || d.Annotations[annotationImage] != "engine.local/engine:"+strconv.Itoa(i+1) {
			t.Errorf("%+v", d)
		}
	}
	if tags := strings.Join(slices.Concat(list[0].RepoTags, list[1].RepoTags), " "); tags != "engine.local/engine:1-amd64 engine.local/engine:2-amd64 engine.local/engine:1-riscv64 engine.local/engine:2-riscv64" {
		t.Errorf("manifest.json names %s", tags)
	}
	index.Manifests = append(index.Manifests, imageIn(t, store, "", "none").Desc)
	img = Image{store, put(t, store, index.MediaType, marshal(t, index))}
	if err := WriteBundle(t.Context(), []Named{{img, []string{"engine.local/engine:1"}}}, path); err == nil || !strings.Contains(err.Error(), "names no platform") {
		t.Errorf("got %v", err)
	}
}
