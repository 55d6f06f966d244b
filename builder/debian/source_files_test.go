package debian

import (
	"archive/tar"
	"bytes"
	"strings"
	"testing"
)

func TestSourceFiles(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range []string{"./x-1.0/go.mod", "x-1.0/sub/go.mod", "x-1.0/main.go"} {
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(name))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := SourceFiles("https://x.example/x-1.0.tar", bytes.NewReader(b.Bytes()), []string{"go.mod", "go.sum"})
	if err != nil || len(got) != 1 || string(got["go.mod"]) != "./x-1.0/go.mod" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := SourceFiles("x.zip", bytes.NewReader(b.Bytes()), nil); err == nil || !strings.Contains(err.Error(), `"x.zip"`) {
		t.Errorf("another kind of archive: %v", err)
	}
}
