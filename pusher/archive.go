package pusher

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// dockerManifest is the list of images that `docker save` writes.
const dockerManifest = "manifest.json"

// archive is a tar file with its members found by name and digest, read in
// place.
type archive struct {
	file    *os.File
	members map[string]*io.SectionReader
	links   map[string]string
	blobs   map[digest.Digest]*io.SectionReader
}

// ReaderAt opens a blob of the archive.
func (a *archive) ReaderAt(_ context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	if s := a.blobs[desc.Digest]; s != nil {
		return section{s}, nil
	}
	return nil, fmt.Errorf("blob %q is not in the archive: %w", desc.Digest, errdefs.ErrNotFound)
}

// section is a part of the archive; the file stays open until the layout's
// Close.
type section struct{ *io.SectionReader }

func (section) Close() error { return nil }

func openArchive(name string) (*disk, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	d, err := readArchive(f)
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	d.close = f.Close
	return d, nil
}

func readArchive(f *os.File) (*disk, error) {
	var magic [4]byte
	n, _ := f.ReadAt(magic[:], 0)
	switch {
	case bytes.HasPrefix(magic[:n], []byte{0x1f, 0x8b}):
		return nil, errors.New("it is compressed: unpack it with `gunzip` first")
	case bytes.HasPrefix(magic[:n], []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return nil, errors.New("it is compressed: unpack it with `unzstd` first")
	}
	a := &archive{
		file: f, members: map[string]*io.SectionReader{},
		links: map[string]string{}, blobs: map[digest.Digest]*io.SectionReader{},
	}
	if err := a.scan(); err != nil {
		return nil, fmt.Errorf("reading the archive: %w: write it again", err)
	}
	if index := a.member(ocispec.ImageIndexFile); index != nil {
		raw, err := readMember(index)
		if err != nil {
			return nil, err
		}
		return &disk{Provider: a, index: raw}, nil
	}
	if list := a.member(dockerManifest); list != nil {
		return a.docker(list)
	}
	return nil, errors.New("there is neither index.json nor manifest.json in it: name an OCI or docker archive")
}

// scan notes where each member lies. archive/tar reads headers without
// reading ahead, so the file's position after a header is that of the data.
func (a *archive) scan() error {
	tr := tar.NewReader(a.file)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := path.Clean(strings.TrimPrefix(h.Name, "/"))
		switch h.Typeflag {
		case tar.TypeReg:
			at, err := a.file.Seek(0, io.SeekCurrent)
			if err != nil {
				return err
			}
			s := io.NewSectionReader(a.file, at, h.Size)
			a.members[name] = s
			if alg, hex, ok := strings.Cut(strings.TrimPrefix(name, "blobs/"), "/"); ok && strings.HasPrefix(name, "blobs/") {
				a.blobs[digest.NewDigestFromEncoded(digest.Algorithm(alg), hex)] = s
			}
		case tar.TypeSymlink:
			a.links[name] = path.Join(path.Dir(name), h.Linkname)
		case tar.TypeLink:
			a.links[name] = path.Clean(h.Linkname)
		}
	}
}

// member gives a file of the archive, through one link; nil if there is none.
func (a *archive) member(name string) *io.SectionReader {
	name = path.Clean(name)
	if target, ok := a.links[name]; ok {
		name = target
	}
	return a.members[name]
}

// readMember reads a small file whole.
func readMember(s *io.SectionReader) ([]byte, error) {
	if s.Size() > manifestLimit {
		return nil, fmt.Errorf("a file of %d bytes is too large for a manifest", s.Size())
	}
	raw := make([]byte, s.Size())
	if _, err := s.ReadAt(raw, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return raw, nil
}

// docker gives the images of an archive without an OCI index manifests made
// from its own list: `docker save` wrote none before version 25.
func (a *archive) docker(list *io.SectionReader) (*disk, error) {
	raw, err := readMember(list)
	if err != nil {
		return nil, err
	}
	var entries []dockerImage
	if err := json.Unmarshal(raw, &entries); err != nil {
		return nil, fmt.Errorf("reading manifest.json: %w: write the archive again", err)
	}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}}
	for _, e := range entries {
		desc, err := a.dockerImage(e)
		if err != nil {
			return nil, err
		}
		if len(e.RepoTags) == 0 {
			index.Manifests = append(index.Manifests, desc)
		}
		for _, tag := range e.RepoTags {
			desc.Annotations = map[string]string{annotationImage: tag}
			index.Manifests = append(index.Manifests, desc)
		}
	}
	rawIndex, err := json.Marshal(index)
	if err != nil {
		return nil, err
	}
	return &disk{Provider: a, index: rawIndex}, nil
}

// dockerImage is an entry of manifest.json.
type dockerImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func (a *archive) dockerImage(e dockerImage) (ocispec.Descriptor, error) {
	config, err := a.add(e.Config, ocispec.MediaTypeImageConfig)
	if err != nil {
		return config, err
	}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config}
	for _, name := range e.Layers {
		layer, err := a.add(name, ocispec.MediaTypeImageLayer)
		if err != nil {
			return layer, err
		}
		m.Layers = append(m.Layers, layer)
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return config, err
	}
	desc := ocispec.Descriptor{MediaType: m.MediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	a.blobs[desc.Digest] = io.NewSectionReader(bytes.NewReader(raw), 0, desc.Size)
	return desc, nil
}

// add hashes a member and gives it as a blob.
func (a *archive) add(name, mediaType string) (ocispec.Descriptor, error) {
	s := a.member(name)
	if s == nil {
		return ocispec.Descriptor{}, fmt.Errorf("file %q of manifest.json is not in the archive: write it again", name)
	}
	var magic [2]byte
	if _, err := s.ReadAt(magic[:], 0); err == nil && magic == [2]byte{0x1f, 0x8b} {
		mediaType += "+gzip"
	}
	h := digest.Canonical.Digester()
	if _, err := io.Copy(h.Hash(), io.NewSectionReader(s, 0, s.Size())); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("reading %q: %w", name, err)
	}
	a.blobs[h.Digest()] = s
	return ocispec.Descriptor{MediaType: mediaType, Digest: h.Digest(), Size: s.Size()}, nil
}
