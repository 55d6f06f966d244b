package builder

import (
	"io"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/builder/image"
	"github.com/riscv-build/riscv-build/recipes"
)

// TestFinished: what was remembered is listed as long as its bytes are there.
func TestFinished(t *testing.T) {
	b, err := New(Config{StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) *built {
		layer, err := image.PutTar(t.Context(), b.store.Content(), "x", func(w io.Writer) error {
			tree := image.NewTree()
			defer tree.Close()
			return tree.Write(w, time.Unix(int64(len(text)), 0))
		})
		if err != nil {
			t.Fatal(err)
		}
		desc, err := image.Write(t.Context(), b.store.Content(), image.Spec{
			Platform: image.Platform, Layers: []image.Layer{layer}, Annotations: map[string]string{"text": text}, Created: time.Unix(1, 0),
		})
		if err != nil {
			t.Fatal(err)
		}
		return &built{desc: desc}
	}
	recipe := func(name, version string) *recipes.Recipe {
		return &recipes.Recipe{Name: name, Version: version, Push: recipes.Push{Tags: []string{version, "latest"}}}
	}
	last := write("second")
	for _, c := range []struct {
		r   *recipes.Recipe
		img *built
	}{
		{recipe("pause", "3.6"), write("first")},
		{recipe("pause", "3.6"), last},
		{recipe("pause", "3.10"), write("third")},
		{recipe("gone", "1"), &built{desc: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: "sha256:" + digestOf64, Size: 1}}},
	} {
		if err := b.remember(c.r, c.img); err != nil {
			t.Fatal(err)
		}
	}
	all, err := b.Finished(t.Context())
	if err != nil || len(all) != 2 || all[0].Version != "3.10" || all[1].Desc.Digest != last.desc.Digest || len(all[1].Tags) != 2 {
		t.Errorf("%+v, %v", all, err)
	}
	if img := b.Image(all[1]); img.Desc.Digest != last.desc.Digest {
		t.Errorf("%+v", img)
	}
}

const digestOf64 = "0000000000000000000000000000000000000000000000000000000000000000"
