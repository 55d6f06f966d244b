package registry

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// layout is an OCI layout on disk, in the making.
type layout struct {
	t   *testing.T
	dir string
}

// elfMachines are the values of e_machine (System V ABI, "ELF Header").
var elfMachines = map[string]uint16{"amd64": 62, "arm64": 183, "riscv64": 243}

// seeded is what the clients begin with.
type seeded struct {
	dir    string // an OCI layout: an index with amd64 and riscv64
	image  digest.Digest
	config digest.Digest // both of the one for riscv64
}

// newSeed writes it.
func newSeed(t *testing.T) seeded {
	t.Helper()
	dir, err := os.MkdirTemp(t.TempDir(), "seed-")
	if err != nil {
		t.Fatal(err)
	}
	l := layout{t, dir}
	other, _ := l.image("amd64")
	own, config := l.image("riscv64")
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{other, own}}
	index.Manifests = []ocispec.Descriptor{l.blob(ocispec.MediaTypeImageIndex, index)}
	l.file(ocispec.ImageIndexFile, index)
	l.file(ocispec.ImageLayoutFile, ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
	return seeded{dir, own.Digest, config}
}

// image writes an image of two layers, one of them with a program.
func (l layout) image(arch string) (image ocispec.Descriptor, config digest.Digest) {
	image = l.packedImage(arch, archive(l.t, "bin/hello", program(arch)), archive(l.t, "etc/motd", []byte("hello from "+arch+"\n")))
	var m ocispec.Manifest
	raw, err := os.ReadFile(filepath.Join(l.dir, "blobs", "sha256", image.Digest.Encoded()))
	if err == nil {
		err = json.Unmarshal(raw, &m)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	return image, m.Config.Digest
}

// program is the least that is a program of an architecture: nobody runs it.
func program(arch string) []byte {
	head := make([]byte, 64)
	copy(head, "\x7fELF\x02\x01\x01")
	for at, v := range map[int]uint16{16: 2, 18: elfMachines[arch], 20: 1, 52: 64, 54: 56, 58: 64} {
		binary.LittleEndian.PutUint16(head[at:], v)
	}
	if arch == "riscv64" {
		head[48] = 5 // double-float ABI, compressed instructions
	}
	return head
}

func archive(t *testing.T, name string, body []byte) []byte {
	t.Helper()
	var text bytes.Buffer
	w := tar.NewWriter(&text)
	err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(body))})
	if err == nil {
		_, _ = w.Write(body)
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return text.Bytes()
}

func (l layout) blob(mediaType string, v any) ocispec.Descriptor {
	l.t.Helper()
	raw, ok := v.([]byte)
	if !ok {
		raw, _ = json.Marshal(v)
	}
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	l.file("blobs/"+strings.Replace(d.Digest.String(), ":", "/", 1), raw)
	return d
}

func (l layout) file(name string, v any) {
	l.t.Helper()
	raw, ok := v.([]byte)
	if !ok {
		raw, _ = json.Marshal(v)
	}
	full := filepath.Join(l.dir, name)
	err := os.MkdirAll(filepath.Dir(full), 0o755)
	if err == nil {
		err = os.WriteFile(full, raw, 0o644)
	}
	if err != nil {
		l.t.Fatal(err)
	}
}
