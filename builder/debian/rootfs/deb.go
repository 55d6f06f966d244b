package rootfs

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"

	"github.com/riscv-build/riscv-build/recipes/lock"
)

const (
	arMagic      = "!<arch>\n"
	arHeaderSize = 60
	// maxControl bounds one file of the control archive, bytes.
	maxControl = 32 << 20
	// maxWindow bounds the dictionary a compressed archive may ask for, bytes;
	// xz -9, the largest preset, wants this much.
	maxWindow = 64 << 20
)

// member is one file of the ar container, by its place in it.
type member struct {
	name         string
	offset, size int64
}

// archive is an open .deb file, deb(5) format 2.0.
type archive struct {
	io.ReadSeekCloser
	pkg           lock.Package
	control, data member
}

// damaged says what is wrong with a package file and what to do about it.
func damaged(p lock.Package, err error) error {
	return fmt.Errorf("reading package %q: %w: the file is damaged or no Debian package; remove it from the store and fetch it again", p.ID, err)
}

// openArchive opens the file of a package and finds its members.
func openArchive(blobs Blobs, p lock.Package) (*archive, error) {
	f, err := blobs.Open(p)
	if err != nil {
		return nil, err
	}
	a := &archive{ReadSeekCloser: f, pkg: p}
	if err := a.index(); err != nil {
		return nil, errors.Join(damaged(p, err), f.Close())
	}
	return a, nil
}

// index walks the ar headers, which fix offset and size of the members.
func (a *archive) index() error {
	total, err := a.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	head := make([]byte, arHeaderSize)
	if err := a.readAt(head[:len(arMagic)], 0); err != nil || string(head[:len(arMagic)]) != arMagic {
		return errors.New("no ar archive")
	}
	for at := int64(len(arMagic)); at < total; {
		if err := a.readAt(head, at); err != nil {
			return fmt.Errorf("ar header at byte %d: %w", at, err)
		}
		size, err := strconv.ParseInt(strings.TrimRight(string(head[48:58]), " "), 10, 64)
		if err != nil || size < 0 || string(head[58:60]) != "`\n" || size > total-at-arHeaderSize {
			return fmt.Errorf("ar header at byte %d is malformed", at)
		}
		m := member{strings.TrimRight(strings.TrimRight(string(head[:16]), " "), "/"), at + arHeaderSize, size}
		switch {
		case strings.HasPrefix(m.name, "control.tar"):
			a.control = m
		case strings.HasPrefix(m.name, "data.tar"):
			a.data = m
		}
		at = m.offset + size + size%2
	}
	if a.control.name == "" || a.data.name == "" {
		return errors.New("control.tar or data.tar is missing")
	}
	return nil
}

func (a *archive) readAt(p []byte, at int64) error {
	if _, err := a.Seek(at, io.SeekStart); err != nil {
		return err
	}
	_, err := io.ReadFull(a, p)
	return err
}

// xzReaders keeps decoders, whose dictionaries are megabytes, for reuse.
var xzReaders = sync.Pool{}

type xzReader struct{ *xz.Reader }

func (r xzReader) Close() error {
	xzReaders.Put(r.Reader)
	return nil
}

// open decompresses a member by the ending of its name.
func (a *archive) open(m member) (io.ReadCloser, error) {
	if _, err := a.Seek(m.offset, io.SeekStart); err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(io.LimitReader(a, m.size), 64<<10)
	_, ending, _ := strings.Cut(m.name, ".tar")
	switch ending {
	case "":
		return io.NopCloser(in), nil
	case ".gz":
		return gzip.NewReader(in)
	case ".zst":
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	case ".xz":
		if z, ok := xzReaders.Get().(*xz.Reader); ok {
			if err := z.Reset(in); err != nil {
				return nil, err
			}
			return xzReader{z}, nil
		}
		z, err := xz.NewReader(in, maxWindow)
		if err != nil {
			return nil, err
		}
		return xzReader{z}, nil
	}
	return nil, fmt.Errorf("%s: compression %q is not supported (none, gz, xz, zst are)", m.name, ending)
}

// info is what the control archive of a package says.
type info struct {
	pkg    lock.Package
	fields paragraph         // of the file control
	files  map[string][]byte // all the other files, by name
	modes  map[string]int64  // permission bits of those
}

// readInfo reads the control archive of a package.
func readInfo(blobs Blobs, p lock.Package) (_ *info, err error) {
	a, err := openArchive(blobs, p)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	i := &info{pkg: p, files: map[string][]byte{}, modes: map[string]int64{}}
	r, err := a.open(a.control)
	if err != nil {
		return nil, damaged(p, err)
	}
	defer r.Close()
	if err := i.read(tar.NewReader(r)); err != nil {
		return nil, damaged(p, fmt.Errorf("%s: %w", a.control.name, err))
	}
	return i, nil
}

func (i *info) read(r *tar.Reader) error {
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if h.Size > maxControl {
			return fmt.Errorf("%q has %d bytes, more than %d", h.Name, h.Size, maxControl)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(h.Name, "./")
		if name == "" || strings.ContainsAny(name, "/\n\x00") {
			return fmt.Errorf("%q is no name of a control file", h.Name)
		}
		i.files[name], i.modes[name] = body, h.Mode&0o777
	}
	fields, err := parseParagraph(i.files["control"])
	if err != nil {
		return err
	}
	if got := fields.get("Package"); got != i.pkg.Name {
		return fmt.Errorf("it is package %q, not %q", got, i.pkg.Name)
	}
	i.fields = fields
	delete(i.files, "control")
	return nil
}

// sameArch tells whether packages of this name may be installed for several
// architectures at once, sharing equal files.
func (i *info) sameArch() bool { return i.fields.get("Multi-Arch") == "same" }

// lines are the lines of a control file, without blank ones.
func (i *info) lines(name string) []string {
	var out []string
	for _, l := range strings.Split(string(i.files[name]), "\n") {
		if strings.TrimSpace(l) != "" {
			out = append(out, l)
		}
	}
	return out
}

// conffiles are the configuration files that the package ships, absolute.
// Lines with a flag (remove-on-upgrade) name files that it does not ship.
func (i *info) conffiles() []string {
	var out []string
	for _, l := range i.lines("conffiles") {
		if strings.HasPrefix(l, "/") {
			out = append(out, strings.TrimSpace(l))
		}
	}
	return out
}

// field is one field of a control paragraph; value holds continuation lines
// as they were written.
type field struct{ name, value string }

type paragraph []field

func (p paragraph) get(name string) string {
	for _, f := range p {
		if strings.EqualFold(f.name, name) {
			return f.value
		}
	}
	return ""
}

// parseParagraph reads the single paragraph of a control file, deb-control(5).
func parseParagraph(text []byte) (paragraph, error) {
	var out paragraph
	for _, l := range strings.Split(string(bytes.TrimSpace(text)), "\n") {
		l = strings.TrimRight(l, " \t\r")
		switch {
		case l == "":
			return nil, errors.New("control has more than one paragraph")
		case l[0] == ' ' || l[0] == '\t':
			if len(out) == 0 {
				return nil, fmt.Errorf("control begins with the continuation line %q", l)
			}
			out[len(out)-1].value += "\n" + l
		default:
			name, value, ok := strings.Cut(l, ":")
			if !ok || name == "" {
				return nil, fmt.Errorf("control line %q is no field", l)
			}
			out = append(out, field{name, strings.TrimSpace(value)})
		}
	}
	return out, nil
}
