package image

import (
	"archive/tar"
	"cmp"
	"fmt"
	"io"
	"path"
	"slices"
	"time"
)

// Stream is a file of a layer whose content is opened when it is written: for
// layers of many files, or of large ones that lie in an archive.
type Stream struct {
	Name string // relative and clean
	Mode int64
	Size int64
	Open func() (io.ReadCloser, error)
}

// WriteStreams writes files and the directories above them as a tar, as Tree.Write does.
func WriteStreams(w io.Writer, files []Stream, date time.Time) error {
	files = slices.Clone(files)
	seen := map[string]bool{}
	for _, f := range files {
		for dir := path.Dir(f.Name); dir != "." && !seen[dir]; dir = path.Dir(dir) {
			seen[dir] = true
			files = append(files, Stream{Name: dir, Mode: 0o755})
		}
	}
	slices.SortFunc(files, func(a, b Stream) int { return cmp.Compare(a.Name, b.Name) })
	tw := tar.NewWriter(w)
	for _, f := range files {
		if err := f.write(tw, date); err != nil {
			return fmt.Errorf("writing %q: %w", "/"+f.Name, err)
		}
	}
	return tw.Close()
}

func (f Stream) write(tw *tar.Writer, date time.Time) error {
	h := tar.Header{Typeflag: tar.TypeReg, Name: f.Name, Mode: f.Mode, Size: f.Size, ModTime: date.UTC().Truncate(time.Second), Format: tar.FormatPAX}
	if f.Open == nil {
		h.Typeflag, h.Name = tar.TypeDir, f.Name+"/"
		return tw.WriteHeader(&h)
	}
	if err := tw.WriteHeader(&h); err != nil {
		return err
	}
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(tw, r)
	return err
}
