package check

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// item is one entry of a layer under construction.
type item struct {
	name string
	mode int64
	body []byte
	link string // of a symbolic link
	hard string // of a hard link
	dir  bool
	caps bool
}

func file(name string, mode int64, body string) item {
	return item{name: name, mode: mode, body: []byte(body)}
}
func binFile(name string, f binaryFile) item { return item{name: name, mode: 0o755, body: f.bytes()} }
func symlink(name, target string) item       { return item{name: name, mode: 0o777, link: target} }
func dir(name string, mode int64) item       { return item{name: name, mode: mode, dir: true} }

func layerTar(t *testing.T, items ...item) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, it := range items {
		h := &tar.Header{Name: strings.TrimPrefix(it.name, "/"), Mode: it.mode, Typeflag: tar.TypeReg, Size: int64(len(it.body))}
		switch {
		case it.dir:
			h.Typeflag = tar.TypeDir
		case it.link != "":
			h.Typeflag, h.Linkname = tar.TypeSymlink, it.link
		case it.hard != "":
			h.Typeflag, h.Linkname = tar.TypeLink, strings.TrimPrefix(it.hard, "/")
		}
		if it.caps {
			h.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": "x"}
		}
		must(t, w.WriteHeader(h))
		_, err := w.Write(it.body)
		must(t, err)
	}
	must(t, w.Close())
	return buf.Bytes()
}

func gzipped(t *testing.T, raw []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	_, err := w.Write(raw)
	must(t, err)
	must(t, w.Close())
	return buf.Bytes()
}

func zstded(t *testing.T, raw []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	must(t, err)
	return w.EncodeAll(raw, nil)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// crafted is an image under construction.
type crafted struct {
	config ocispec.Image
	layers [][]byte // as stored; DiffIDs are filled in
}

func newImage(entrypoint ...string) *crafted {
	c := &crafted{}
	c.config.OS, c.config.Architecture = "linux", "riscv64"
	c.config.Config.Entrypoint = entrypoint
	return c
}

func (c *crafted) layer(t *testing.T, items ...item) *crafted {
	t.Helper()
	return c.raw(layerTar(t, items...), nil)
}

func (c *crafted) raw(plain, stored []byte) *crafted {
	if stored == nil {
		stored = plain
	}
	c.layers = append(c.layers, stored)
	c.config.RootFS.DiffIDs = append(c.config.RootFS.DiffIDs, digest.FromBytes(plain))
	return c
}

func newStore(t *testing.T) content.Store {
	t.Helper()
	store, err := local.NewStore(t.TempDir())
	must(t, err)
	return store
}

func (c *crafted) store(t *testing.T, store content.Store) ocispec.Descriptor {
	t.Helper()
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	raw, err := json.Marshal(c.config)
	must(t, err)
	m.Config = put(t, store, ocispec.MediaTypeImageConfig, raw)
	for _, l := range c.layers {
		m.Layers = append(m.Layers, put(t, store, ocispec.MediaTypeImageLayer, l))
	}
	raw, err = json.Marshal(m)
	must(t, err)
	return put(t, store, ocispec.MediaTypeImageManifest, raw)
}

func put(t *testing.T, store content.Store, mediaType string, raw []byte) ocispec.Descriptor {
	t.Helper()
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	must(t, content.WriteBlob(context.Background(), store, desc.Digest.String(), bytes.NewReader(raw), desc))
	return desc
}

// base is a small root filesystem with merged /usr, a loader and a libc.
func base() []item {
	libc := shared("libc.so.6", "ld-linux-riscv64-lp64d.so.1")
	libc.has = []string{"libc.so.6", "GLIBC_2.27", "GLIBC_2.34"}
	ld := shared("ld-linux-riscv64-lp64d.so.1")
	return []item{
		dir("usr", 0o755), dir("usr/bin", 0o755), dir("usr/lib", 0o755), dir(libDir, 0o755), dir("tmp", 0o1777),
		symlink("bin", "usr/bin"), symlink("lib", "usr/lib"),
		binFile("usr/lib/ld-linux-riscv64-lp64d.so.1", ld), binFile(libDir+"/libc.so.6", libc),
		symlink(libDir+"/ld-linux-riscv64-lp64d.so.1", "../ld-linux-riscv64-lp64d.so.1"),
		binFile("usr/bin/sh", program("libc.so.6")),
	}
}

// mapCache is a Cache that counts what it is asked.
type mapCache struct {
	lock   sync.Mutex
	values map[string][]byte
	hits   int
}

func newCache() *mapCache { return &mapCache{values: map[string][]byte{}} }

func (c *mapCache) Get(key string) ([]byte, bool) {
	c.lock.Lock()
	defer c.lock.Unlock()
	v, ok := c.values[key]
	if ok {
		c.hits++
	}
	return v, ok
}

func (c *mapCache) Put(key string, value []byte) {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.values[key] = value
}

func scanBytes(t *testing.T, raw []byte) *LayerFacts {
	t.Helper()
	facts, err := ScanLayer(context.Background(), bytes.NewReader(raw))
	must(t, err)
	return facts
}
