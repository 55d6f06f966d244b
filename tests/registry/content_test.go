package registry

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/tests/rig"
)

// noise gives bytes that cannot be compressed.
func noise(n int, seed uint64) []byte {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(b)
	return b
}

// newImage writes an OCI layout with a riscv64 image: a program, and layers of
// so many bytes that no other image has.
func newImage(t *testing.T, seed uint64, sizes ...int) (dir string, image digest.Digest) {
	t.Helper()
	return newLayout(t, seed, layout.plainImage, sizes)
}

// newPackedImage is newImage with layers that are gzip files, for clients that
// would pack others.
func newPackedImage(t *testing.T, seed uint64, sizes ...int) (dir string, image digest.Digest) {
	t.Helper()
	return newLayout(t, seed, layout.packedImage, sizes)
}

func newLayout(t *testing.T, seed uint64, image func(layout, string, ...[]byte) ocispec.Descriptor, sizes []int) (dir string, d digest.Digest) {
	t.Helper()
	dir, err := os.MkdirTemp(rig.Work, "image-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l := layout{t, dir}
	layers := [][]byte{archive(t, "bin/hello", program("riscv64"))}
	for i, size := range sizes {
		layers = append(layers, archive(t, fmt.Sprintf("data/%d", i), noise(size, seed<<16+uint64(i))))
	}
	desc := image(l, "riscv64", layers...)
	l.file(ocispec.ImageIndexFile, ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []ocispec.Descriptor{desc}})
	l.file(ocispec.ImageLayoutFile, ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
	return dir, desc.Digest
}

// plainImage writes an image whose configuration says that it is for arch; its
// layers are not compressed.
func (l layout) plainImage(arch string, layers ...[]byte) ocispec.Descriptor {
	l.t.Helper()
	return l.imageOf(arch, layers, func(text []byte) ocispec.Descriptor { return l.blob(ocispec.MediaTypeImageLayer, text) })
}

// packedImage is plainImage with layers that are gzip files, as large as before.
func (l layout) packedImage(arch string, layers ...[]byte) ocispec.Descriptor {
	l.t.Helper()
	return l.imageOf(arch, layers, func(text []byte) ocispec.Descriptor {
		var packed bytes.Buffer
		z, err := gzip.NewWriterLevel(&packed, gzip.NoCompression)
		if err == nil {
			_, _ = z.Write(text)
			err = z.Close()
		}
		if err != nil {
			l.t.Fatal(err)
		}
		return l.blob(ocispec.MediaTypeImageLayerGzip, packed.Bytes())
	})
}

func (l layout) imageOf(arch string, layers [][]byte, write func([]byte) ocispec.Descriptor) ocispec.Descriptor {
	l.t.Helper()
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	c := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: arch}, RootFS: ocispec.RootFS{Type: "layers"}}
	c.Config.Cmd = []string{"/bin/hello"}
	for _, text := range layers {
		m.Layers, c.RootFS.DiffIDs = append(m.Layers, write(text)), append(c.RootFS.DiffIDs, digest.FromBytes(text))
	}
	m.Config = l.blob(ocispec.MediaTypeImageConfig, c)
	desc := l.blob(m.MediaType, m)
	desc.Platform = &c.Platform
	return desc
}

// errAbsent is a tag that is not there.
var errAbsent = fmt.Errorf("there is no such tag")

// complete reads what a tag names, all of it, and compares every digest.
func complete(client *http.Client, addr, repo, tag string) (image digest.Digest, err error) {
	resp, raw, err := fetch(client, "http://"+addr+"/v2/"+repo+"/manifests/"+tag)
	switch {
	case err != nil:
		return "", err
	case resp.StatusCode == http.StatusNotFound:
		return "", errAbsent
	case resp.StatusCode != http.StatusOK:
		return "", fmt.Errorf("%s:%s: %s", repo, tag, resp.Status)
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return "", fmt.Errorf("%w: the manifest of %s:%s: %v", errCorrupt, repo, tag, err)
	}
	for _, d := range append(m.Layers, m.Config) {
		if err := blobIs(client, addr, repo, d); err != nil {
			return "", err
		}
	}
	return digest.FromBytes(raw), nil
}

// errCorrupt is content that is not what its digest says, or a manifest that
// names what is not there.
var errCorrupt = fmt.Errorf("corrupt")

// blobIs reads a blob and compares its digest.
func blobIs(client *http.Client, addr, repo string, d ocispec.Descriptor) error {
	resp, err := client.Get("http://" + addr + "/v2/" + repo + "/blobs/" + d.Digest.String())
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return fmt.Errorf("%w: %s: blob %s is named and is not there", errCorrupt, repo, d.Digest)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: blob %s: %s", repo, d.Digest, resp.Status)
	}
	v := d.Digest.Verifier()
	n, err := io.Copy(v, resp.Body)
	if err != nil {
		return err // cut off, which a client sees
	}
	if !v.Verified() || n != d.Size {
		return fmt.Errorf("%w: %s: blob %s has other bytes", errCorrupt, repo, d.Digest)
	}
	return nil
}

// fetch reads a small answer.
func fetch(client *http.Client, url string) (*http.Response, []byte, error) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Accept", ocispec.MediaTypeImageManifest)
	resp, err := client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return resp, raw, err
}

// drop reads to the end, through a large buffer.
func drop(r io.Reader) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, make([]byte, 256<<10))
}
