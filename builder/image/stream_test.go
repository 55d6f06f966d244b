package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func TestWriteStreams(t *testing.T) {
	text := func(name, s string) Stream {
		return Stream{Name: name, Mode: 0o644, Size: int64(len(s)), Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s)), nil }}
	}
	var one, two bytes.Buffer
	date := time.Unix(1700000000, 5)
	if err := WriteStreams(&one, []Stream{text("b/c/y", "y"), text("a", "aa"), text("b/x", "")}, date); err != nil {
		t.Fatal(err)
	}
	if err := WriteStreams(&two, []Stream{text("b/x", ""), text("b/c/y", "y"), text("a", "aa")}, date); err != nil || !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Errorf("the order of files changes the bytes (%v)", err)
	}
	var names []string
	for r := tar.NewReader(&one); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
	if got := strings.Join(names, " "); got != "a b/ b/c/ b/c/y b/x" {
		t.Errorf("entries: %s", got)
	}
	lost := errors.New("lost")
	if err := WriteStreams(io.Discard, []Stream{{Name: "x", Open: func() (io.ReadCloser, error) { return nil, lost }}}, date); !errors.Is(err, lost) || !strings.Contains(err.Error(), `"/x"`) {
		t.Errorf("a file that cannot be opened: %v", err)
	}
}
