package debian

import (
	"archive/tar"
	"bufio"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
)

// SourceDate gives the date of a source: for NAME.debian.tar.* that of the
// newest entry of debian/changelog, for any other tarball the newest
// modification time of its entries. name is the file's name; its ending tells
// the compression (.tar, .tar.gz, .tgz, .tar.xz, .tar.bz2, .tar.zst).
func SourceDate(name string, r io.Reader) (time.Time, error) {
	name = path.Base(name)
	plain, closer, err := openTarball(name, r)
	if err != nil {
		return time.Time{}, fmt.Errorf("reading the date of source %q: %w", name, err)
	}
	defer closer()
	read := newestEntry
	if strings.Contains(name, ".debian.tar.") {
		read = changelogDate
	}
	date, err := read(tar.NewReader(plain))
	if err != nil {
		return time.Time{}, fmt.Errorf("reading the date of source %q: %w: fetch the source again or check that its name fits its content", name, err)
	}
	return date.UTC(), nil
}

func openTarball(name string, r io.Reader) (io.Reader, func(), error) {
	none := func() {}
	switch ext := path.Ext(name); {
	case ext == ".tar":
		return r, none, nil
	case ext == ".tgz" || strings.HasSuffix(name, ".tar.gz"):
		z, err := gzip.NewReader(r)
		return z, none, err
	case ext == ".txz" || strings.HasSuffix(name, ".tar.xz"):
		z, err := xz.NewReader(r, maxDictionary)
		return z, none, err
	case ext == ".tbz2" || strings.HasSuffix(name, ".tar.bz2"):
		return bzip2.NewReader(r), none, nil
	case ext == ".tzst" || strings.HasSuffix(name, ".tar.zst"):
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxIndex))
		if err != nil {
			return nil, none, err
		}
		return z, z.Close, nil
	}
	return nil, none, errors.New("its name does not end in .tar, .tar.gz, .tar.xz, .tar.bz2 or .tar.zst: use such a tarball")
}

func newestEntry(t *tar.Reader) (time.Time, error) {
	var newest time.Time
	for n := 0; ; n++ {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			if n == 0 {
				return newest, errors.New("the tarball is empty")
			}
			return newest.Truncate(time.Second), nil
		}
		if err != nil {
			return newest, err
		}
		if h.ModTime.After(newest) {
			newest = h.ModTime
		}
	}
}

func changelogDate(t *tar.Reader) (time.Time, error) {
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return time.Time{}, errors.New("there is no debian/changelog in it")
		}
		if err != nil {
			return time.Time{}, err
		}
		if path.Clean(h.Name) == "debian/changelog" {
			return topEntryDate(t)
		}
	}
}

// topEntryDate reads the first trailer of a changelog:
// " -- NAME <ADDRESS>  DATE".
func topEntryDate(r io.Reader) (time.Time, error) {
	lines := bufio.NewScanner(io.LimitReader(r, 1<<20))
	for lines.Scan() {
		trailer, ok := strings.CutPrefix(lines.Text(), " -- ")
		if !ok {
			continue
		}
		_, date, ok := strings.Cut(trailer, ">")
		if !ok {
			return time.Time{}, fmt.Errorf("debian/changelog: trailer %q has no date", lines.Text())
		}
		return parseDate(date)
	}
	if err := lines.Err(); err != nil {
		return time.Time{}, fmt.Errorf("debian/changelog: %w", err)
	}
	return time.Time{}, errors.New("debian/changelog has no finished entry")
}
