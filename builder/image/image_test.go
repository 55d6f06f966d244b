package image

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/recipes"
)

var date = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func store(t *testing.T) content.Store {
	t.Helper()
	s, err := local.NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// layout writes an OCI layout of one layer as an engine exports it.
func layout(t *testing.T, headers []tar.Header, data string) string {
	t.Helper()
	dir := t.TempDir()
	cs, err := local.NewStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	l, err := PutTar(context.Background(), cs, "x", func(w io.Writer) error {
		tw := tar.NewWriter(w)
		for _, h := range headers {
			if h.Typeflag == tar.TypeReg {
				h.Size = int64(len(data))
			}
			h.ModTime = time.Now()
			if err := tw.WriteHeader(&h); err != nil {
				return err
			}
			if h.Typeflag == tar.TypeReg {
				io.WriteString(tw, data)
			}
		}
		return tw.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
	desc, err := Write(context.Background(), cs, Spec{Platform: Platform, Layers: []Layer{l}, Created: date})
	if err != nil {
		t.Fatal(err)
	}
	index := fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"mediaType":%q,"digest":%q,"size":%d}]}`, ocispec.MediaTypeImageManifest, desc.Digest, desc.Size)
	if err := os.WriteFile(filepath.Join(dir, "index.json"), []byte(index), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func listing(t *testing.T, tree *Tree) string {
	t.Helper()
	var b bytes.Buffer
	if err := tree.Write(&b, date); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for tr := tar.NewReader(&b); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return out.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		if !h.ModTime.Equal(date) {
			t.Errorf("%s: time %s", h.Name, h.ModTime)
		}
		body, _ := io.ReadAll(tr)
		fmt.Fprintf(&out, "%c %o %d:%d %s %s %s\n", h.Typeflag, h.Mode, h.Uid, h.Gid, h.Name, h.Linkname, body)
	}
}

func installed(t *testing.T) string {
	return layout(t, []tar.Header{
		{Typeflag: tar.TypeDir, Name: "bin/", Mode: 0o755},
		{Typeflag: tar.TypeReg, Name: "bin/tool", Mode: 0o4755},
		{Typeflag: tar.TypeLink, Name: "bin/alias", Linkname: "bin/tool", Mode: 0o4755},
		{Typeflag: tar.TypeDir, Name: "etc/", Mode: 0o755},
		{Typeflag: tar.TypeDir, Name: "etc/empty/", Mode: 0o755},
		{Typeflag: tar.TypeDir, Name: "etc/private/", Mode: 0o700, Uid: 5},
		{Typeflag: tar.TypeReg, Name: "usr/share/man/tool.1", Mode: 0o644},
		{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o755},
	}, "x")
}

func TestArtifacts(t *testing.T) {
	cases := []struct {
		name string
		opt  ArtifactOptions
		want string
	}{
		{"everything on an empty base", ArtifactOptions{},
			"5 755 0:0 bin/  \n0 755 0:0 bin/tool  x\n5 755 0:0 etc/  \n5 755 0:0 etc/empty/  \n5 700 5:0 etc/private/  \n5 755 0:0 tmp/  \n0 644 0:0 usr/share/man/tool.1  x\n1 755 0:0 bin/alias bin/tool \n"},
		{"chosen, on a merged base", ArtifactOptions{Paths: []string{"/bin", "/etc"}, Merged: true},
			"5 755 0:0 etc/  \n5 755 0:0 etc/empty/  \n5 700 5:0 etc/private/  \n5 755 0:0 usr/bin/  \n0 755 0:0 usr/bin/tool  x\n1 755 0:0 usr/bin/alias usr/bin/tool \n"},
		{"a directory of the base keeps its mode", ArtifactOptions{Paths: []string{"/usr", "/"}, Merged: true},
			"5 755 0:0 etc/  \n5 755 0:0 etc/empty/  \n5 700 5:0 etc/private/  \n5 755 0:0 usr/bin/  \n0 755 0:0 usr/bin/tool  x\n0 644 0:0 usr/share/man/tool.1  x\n1 755 0:0 usr/bin/alias usr/bin/tool \n"},
		{"a hard link without its target", ArtifactOptions{Paths: []string{"/bin/alias"}}, "0 755 0:0 bin/alias  x\n"},
		{"setuid that the recipe names", ArtifactOptions{Paths: []string{"/bin/tool"}, Setuid: []string{"/bin/tool"}}, "0 4755 0:0 bin/tool  x\n"},
	}
	for _, c := range cases {
		tree, err := Artifacts(context.Background(), installed(t), c.opt)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := listing(t, tree); got != c.want {
			t.Errorf("%s: got\n%swant\n%s", c.name, got, c.want)
		}
		tree.Close()
	}
}

func TestMissingArtifacts(t *testing.T) {
	tree, err := Artifacts(context.Background(), installed(t), ArtifactOptions{Paths: []string{"/usr/sbin/nginx", "/bin"}})
	if tree != nil {
		defer tree.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "/usr/sbin/nginx") || strings.Contains(err.Error(), "/bin,") {
		t.Errorf("got %v", err)
	}
}

func TestSpecialFilesAreRefused(t *testing.T) {
	tree := NewTree()
	tree.Add(tar.Header{Typeflag: tar.TypeChar, Name: "dev/null"}, nil)
	if err := tree.Write(io.Discard, date); err == nil || !strings.Contains(err.Error(), "/dev/null") {
		t.Errorf("got %v", err)
	}
}

func TestRecipeFiles(t *testing.T) {
	text := "listen 80;\n"
	r := &recipes.Recipe{Name: "x", Dir: fstest.MapFS{"files/run.sh": {Data: []byte("#!/bin/sh\n")}}}
	r.Image.Accounts = []recipes.Account{{Name: "web", UID: 101, GID: 102, Home: "/nonexistent", Shell: "/bin/false", Comment: "web user"}}
	r.Image.Dirs = []recipes.Dir{{Path: "/data", Mode: 0o1777, UID: 101}}
	r.Image.Files = []recipes.File{{Path: "/run.sh", From: "files/run.sh", Mode: 0o755}, {Path: "/bin/conf", Content: &text, Mode: 0o644}}
	r.Image.Links = []recipes.Link{{Path: "/log", Target: "/dev/stdout"}, {Path: "/bin/c2", Target: "/bin/conf", Hard: true}}
	below := func(name string) ([]byte, error) {
		return map[string][]byte{"etc/passwd": []byte("root:x:0:0:root:/root:/bin/bash\n"), "etc/group": []byte("root:x:0:\nshadow:x:42:\n"), "etc/shadow": []byte("root:*:1::::::\n")}[name], nil
	}
	tree := NewTree()
	if err := tree.AddRecipe(r, below); err != nil {
		t.Fatal(err)
	}
	tree.MergeUsr()
	tree.AddParents(func(dir string) bool { return dir == "usr" || dir == "etc" })
	want := `5 1777 101:0 data/  
0 644 0:0 etc/group  root:x:0:
shadow:x:42:
web:x:102:

0 644 0:0 etc/passwd  root:x:0:0:root:/root:/bin/bash
web:x:101:102:web user:/nonexistent:/bin/false

0 640 0:42 etc/shadow  root:*:1::::::
web:!*:::::::

2 777 0:0 log /dev/stdout 
0 755 0:0 run.sh  #!/bin/sh

5 755 0:0 usr/bin/  
0 644 0:0 usr/bin/conf  listen 80;

1 755 0:0 usr/bin/c2 usr/bin/conf 
`
	if got := listing(t, tree); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	r.Image.Accounts[0].UID = 0
	r.Image.Accounts[0].Name = "root"
	r.Image.Accounts[0].GID = 7
	if err := NewTree().AddRecipe(r, below); err == nil || !strings.Contains(err.Error(), `account "root"`) {
		t.Errorf("conflicting account: %v", err)
	}
	r.Image.Accounts = nil
	r.Image.Files[0].From = "gone"
	if err := NewTree().AddRecipe(r, below); err == nil || !strings.Contains(err.Error(), `"gone"`) {
		t.Errorf("missing file: %v", err)
	}
}

func TestWriteIsDeterministicAndCompressedOnce(t *testing.T) {
	ctx := context.Background()
	var digests []string
	for range 2 {
		cs := store(t)
		tree := NewTree()
		tree.Add(tar.Header{Typeflag: tar.TypeReg, Name: "a", Mode: 0o644}, bytes.Repeat([]byte("text "), 10000))
		l, err := PutTar(ctx, cs, "a", func(w io.Writer) error { return tree.Write(w, date) })
		if err != nil {
			t.Fatal(err)
		}
		z, err := Compress(ctx, cs, l)
		if err != nil {
			t.Fatal(err)
		}
		if again, _ := Compress(ctx, cs, z); again.Desc.Digest != z.Desc.Digest {
			t.Error("a compressed layer was compressed again")
		}
		desc, err := Write(ctx, cs, Spec{Platform: Platform, Layers: []Layer{z}, Created: date, Config: ocispec.ImageConfig{Env: Env(map[string]string{"B": "1", "A": "2"})}})
		if err != nil {
			t.Fatal(err)
		}
		m, c, err := ReadManifest(ctx, cs, desc)
		if err != nil {
			t.Fatal(err)
		}
		if c.Architecture != "riscv64" || c.RootFS.DiffIDs[0] != l.DiffID || m.Layers[0].MediaType != ocispec.MediaTypeImageLayerGzip {
			t.Errorf("config %+v, manifest %+v", c, m)
		}
		if got := strings.Join(c.Config.Env, " "); got != "PATH="+DefaultPath+" A=2 B=1" {
			t.Errorf("env %s", got)
		}
		digests = append(digests, desc.Digest.String())
	}
	if digests[0] != digests[1] {
		t.Errorf("the same image has digests %v", digests)
	}
}
