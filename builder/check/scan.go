package check

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	// inMemory is the size up to which an ELF file is read into memory; a
	// larger one goes through a temporary file, so that a layer full of large
	// programs costs a board no more than this.
	inMemory = 16 << 20
	// maxContent bounds a file whose content is part of the facts.
	maxContent = 1 << 20
	maxScript  = 256
)

// ScanLayer reads a layer (tar, tar+gzip or tar+zstd, told by its first bytes)
// once, as a stream, and returns its facts. The result depends on the bytes only.
func ScanLayer(ctx context.Context, r io.Reader) (*LayerFacts, error) {
	plain, done, err := decompress(r)
	if err != nil {
		return nil, err
	}
	defer done()
	sum := sha256.New()
	stream := io.TeeReader(&cancelReader{ctx: ctx, r: plain}, sum)
	s := scanner{facts: &LayerFacts{Version: factsVersion}, tar: tar.NewReader(stream)}
	if err := s.all(); err != nil {
		return nil, err
	}
	// A tar may go on after its end marker, and the digest is that of all of it.
	if _, err := io.Copy(io.Discard, stream); err != nil {
		return nil, fmt.Errorf("reading the layer's end: %w: build or fetch the image again", err)
	}
	s.facts.DiffID = "sha256:" + hex.EncodeToString(sum.Sum(nil))
	return s.facts, nil
}

// decompress tells the compression by magic bytes rather than by media type,
// which images in the wild get wrong.
func decompress(r io.Reader) (io.Reader, func(), error) {
	br := bufio.NewReaderSize(r, 64<<10)
	magic, _ := br.Peek(4)
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		zr, err := gzip.NewReader(br)
		if err != nil {
			return nil, nil, fmt.Errorf("reading the layer's gzip header: %w: build or fetch the image again", err)
		}
		return zr, func() { _ = zr.Close() }, nil
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		zr, err := zstd.NewReader(br, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
		if err != nil {
			return nil, nil, fmt.Errorf("reading the layer's zstd header: %w: build or fetch the image again", err)
		}
		return zr, zr.Close, nil
	}
	return br, func() {}, nil
}

// cancelReader ends a long read when the context does.
type cancelReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancelReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

type scanner struct {
	facts *LayerFacts
	tar   *tar.Reader
	buf   []byte // reused for the ELF files that fit
}

func (s *scanner) all() error {
	for i := 0; ; i++ {
		hdr, err := s.tar.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading entry %d of the layer: %w: build or fetch the image again", i, err)
		}
		e, ok := entryOf(hdr)
		if !ok {
			continue
		}
		e.Index = i
		if e.Type == TypeFile {
			if err := s.look(&e); err != nil {
				return fmt.Errorf("reading %q in the layer: %w: build or fetch the image again", e.Path, err)
			}
		}
		s.facts.Entries = append(s.facts.Entries, e)
	}
}

func entryOf(hdr *tar.Header) (Entry, bool) {
	p := path.Clean("/" + hdr.Name)
	dir, base := path.Split(p)
	if rest, ok := strings.CutPrefix(base, ".wh."); ok {
		switch {
		case base == ".wh..wh..opq":
			return Entry{Path: path.Clean(dir), Type: TypeOpaque}, true
		case strings.HasPrefix(rest, ".wh."), rest == "", rest == ".", rest == "..":
			return Entry{}, false // bookkeeping of aufs, or nothing that can be removed
		}
		return Entry{Path: path.Join(dir, rest), Type: TypeWhiteout}, true
	}
	e := Entry{Path: p, Mode: hdr.Mode & 0o7777, UID: hdr.Uid, GID: hdr.Gid}
	_, e.Caps = hdr.PAXRecords["SCHILY.xattr.security.capability"]
	switch hdr.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse, tar.TypeCont: // the reader gives an old tar's files as TypeReg
		e.Type, e.Size = TypeFile, hdr.Size
	case tar.TypeDir:
		e.Type = TypeDir
	case tar.TypeSymlink:
		e.Type, e.Link = TypeSymlink, hdr.Linkname
	case tar.TypeLink:
		e.Type, e.Link = TypeHardlink, path.Clean("/"+hdr.Linkname)
	case tar.TypeChar, tar.TypeBlock:
		e.Type = TypeDevice
	case tar.TypeFifo:
		e.Type = TypeFifo
	default:
		return Entry{}, false
	}
	return e, true
}

// look reads as much of a regular file as the facts want.
func (s *scanner) look(e *Entry) error {
	if wanted(e.Path) && e.Size <= maxContent {
		content, err := io.ReadAll(s.tar)
		e.Content = content
		return err
	}
	head := make([]byte, min(e.Size, 64))
	if _, err := io.ReadFull(s.tar, head); err != nil {
		return err
	}
	rest := io.MultiReader(bytes.NewReader(head), s.tar)
	switch {
	case bytes.HasPrefix(head, []byte("#!")):
		line, err := io.ReadAll(io.LimitReader(rest, maxScript))
		first, _, _ := bytes.Cut(line, []byte("\n"))
		e.Script = strings.ToValidUTF8(string(first), "?")
		return err
	case bytes.HasPrefix(head, []byte("\x7fELF")):
		return s.elf(e, head, rest)
	case bytes.HasPrefix(head, []byte("!<arch>\n")):
		var err error
		e.ELF, err = inspectArchive(rest)
		return err
	}
	return nil
}

// wanted names the files whose content decides how programs are loaded and run.
func wanted(p string) bool {
	switch {
	case p == "/etc/ld.so.cache", p == "/etc/ld.so.conf":
		return true
	case path.Dir(p) == "/etc" && strings.HasPrefix(p, "/etc/ld-musl-") && strings.HasSuffix(p, ".path"):
		return true
	}
	return path.Dir(p) == "/etc/ld.so.conf.d" && strings.HasSuffix(p, ".conf")
}

func (s *scanner) elf(e *Entry, head []byte, rest io.Reader) error {
	facts := headerFacts(head)
	if !facts.riscv64() {
		e.ELF = facts
		return nil
	}
	if e.Size > inMemory {
		return s.elfOnDisk(e, rest)
	}
	if int64(cap(s.buf)) < e.Size {
		s.buf = make([]byte, e.Size)
	}
	buf := s.buf[:e.Size]
	if _, err := io.ReadFull(rest, buf); err != nil {
		return err
	}
	e.ELF = inspect(bytes.NewReader(buf), e.Size)
	return nil
}

func (s *scanner) elfOnDisk(e *Entry, rest io.Reader) (err error) {
	f, err := os.CreateTemp("", "riscv-build-check-")
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, f.Close(), os.Remove(f.Name()))
	}()
	if _, err := io.Copy(f, rest); err != nil {
		return err
	}
	e.ELF = inspect(f, e.Size)
	return nil
}
