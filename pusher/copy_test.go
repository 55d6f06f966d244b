package pusher

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestParseLocation(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("lay", 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, "file", "")
	for in, want := range map[string]string{
		"192.168.1.5:6000/x:1":         "192.168.1.5:6000/x:1",
		"http://h.example/x":           "h.example/x:latest",
		"docker://docker.io/busybox":   "docker.io/library/busybox:latest",
		"index.docker.io/a/b:2":        "docker.io/a/b:2",
		"oci:d":                        "oci:d",
		"oci:d:v1":                     "oci:d:v1",
		"oci:d:h.example:5000/x:1":     "oci:d:h.example:5000/x:1",
		"oci-archive:a.tar":            "oci-archive:a.tar",
		"docker-archive:a.tar:nginx:1": "docker-archive:a.tar:nginx:1",
		"lay":                          "oci:lay", "file": "oci-archive:file", "x.tar": "oci-archive:x.tar",
		"./new": "oci:./new", "/tmp/new": "oci:/tmp/new",
		"busybox:1": "", "new": "", "oci:": "", "h.example/UPPER": "", "docker://busybox": "", "": "",
	} {
		got, err := parseLocation(in)
		if (err == nil) != (want != "") || err == nil && got.String() != want {
			t.Errorf("%q: got %q, %v", in, got, err)
		}
	}
}

// TestCopyAnyToAny goes through every kind of place and back; the digest stays.
func TestCopyAnyToAny(t *testing.T) {
	a, b := startFake(t), startFake(t)
	f := startFront(t, startRegistry(t, registryConfig{}))
	a.multi(t, "multi", "1", "amd64", "riscv64", "arm64")
	want := digest.FromBytes(a.get("multi", "riscv64").raw)
	scratch, dir := t.TempDir(), t.TempDir()
	opt := quick()
	var said []string
	opt.Notice = func(s string) { said = append(said, s) }
	p := New(opt)
	at := "http://" + a.host + "/multi:1"
	for _, to := range []string{
		"http://" + b.host + "/team/x:1", "oci:" + dir + "/lay:v1", dir + "/oci.tar", "docker-archive:" + dir + "/docker.tar",
		"http://" + f.host + "/x:2", dir + "/plain/",
	} {
		done, err := p.Copy(t.Context(), at, to, CopyOptions{Scratch: scratch})
		if err != nil || done.Digest != want || strings.Join(done.Platforms, " ") != "linux/riscv64" || done.Manifests != 1 {
			t.Fatalf("%s to %s: %+v, %v", at, to, done, err)
		}
		at = to
	}
	if len(said) != 1 || !strings.Contains(said[0], "docker archive") {
		t.Errorf("said %q", said)
	}
	if left, _ := os.ReadDir(scratch); len(left) != 0 {
		t.Errorf("left in the scratch directory: %v", left)
	}
	f.seen()
	if done, err := p.Copy(t.Context(), at, "http://"+f.host+"/x:2", CopyOptions{}); err != nil || done.UploadedBlobs != 0 {
		t.Errorf("again: %+v, %v", done, err)
	}
	for _, r := range f.seen() {
		if !strings.HasPrefix(r, "HEAD ") {
			t.Errorf("an image that is there cost %s", r)
		}
	}
	done, err := p.Copy(t.Context(), "http://"+f.host+"/x:2", "http://"+f.host+"/sibling:2", CopyOptions{})
	if err != nil || done.UploadedBlobs != 0 {
		t.Errorf("blobs of a sibling were sent, not mounted: %+v, %v", done, err)
	}
}

// TestCopyAll: the index, every platform and what refers to them, byte by byte.
func TestCopyAll(t *testing.T) {
	for _, api := range []bool{true, false} {
		a, b := startFake(t), startFake(t)
		a.referrers, b.referrers = api, api
		index := a.multi(t, "multi", "1", "amd64", "riscv64")
		p := New(quick())
		signature := func(subject ocispec.Descriptor) ocispec.Descriptor {
			img := testImage(t, "riscv64", "signature of "+subject.Digest.String())
			raw, err := readBlob(t.Context(), img.Provider, img.Desc)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Push(t.Context(), img, []string{"http://" + a.host + "/multi:tmp"}); err != nil {
				t.Fatal(err)
			}
			var m ocispec.Manifest
			if err := json.Unmarshal(raw, &m); err != nil {
				t.Fatal(err)
			}
			m.ArtifactType, m.Subject = "application/x-signature", &subject
			m.Config.MediaType = "application/vnd.oci.empty.v1+json"
			d := a.put("multi", "", m.MediaType, marshal(t, m))
			if !api { // as clients list it where a registry does not
				list := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{d}}
				a.put("multi", strings.Replace(subject.Digest.String(), ":", "-", 1), list.MediaType, marshal(t, list))
			}
			return d
		}
		first := signature(index)
		second := signature(first)
		lay, tar := "oci:"+t.TempDir()+":1", t.TempDir()+"/x.tar"
		at := "http://" + a.host + "/multi:1"
		for _, to := range []string{lay, tar, "http://" + b.host + "/copy:1"} {
			done, err := p.Copy(t.Context(), at, to, CopyOptions{All: true})
			if err != nil || done.Digest != index.Digest || done.Manifests != 5 || strings.Join(done.Platforms, " ") != "linux/amd64 linux/riscv64" {
				t.Fatalf("%s to %s: %+v, %v", at, to, done, err)
			}
			at = to
		}
		if got := b.get("copy", "1"); string(got.raw) != string(a.get("multi", "1").raw) || got.mediaType != index.MediaType {
			t.Errorf("the index changed: %s", got.raw)
		}
		for _, d := range []ocispec.Descriptor{first, second} {
			if b.get("copy", d.Digest.String()).raw == nil {
				t.Errorf("referrer %s was lost", d.Digest)
			}
		}
		if !api && b.get("copy", strings.Replace(first.Digest.String(), ":", "-", 1)).raw == nil {
			t.Error("the list of referrers was not written")
		}
	}
}

func TestCopyRefuses(t *testing.T) {
	f := startFake(t)
	f.multi(t, "arm", "1", "arm64")
	f.multi(t, "two", "1", "amd64", "arm64")
	lie := f.multi(t, "lie", "0", "amd64")
	f.put("lie", "1", lie.MediaType, []byte(strings.ReplaceAll(string(f.get("lie", "0").raw), `"architecture":"amd64"`, `"architecture":"riscv64"`)))
	f.put("art", "1", ocispec.MediaTypeImageManifest, []byte(`{"config":{"mediaType":"application/vnd.oci.empty.v1+json"}}`))
	f.put("bad", "1", ocispec.MediaTypeImageManifest, []byte(`{"layers":[{"digest":"sha256:../../x"}]}`))
	f.multi(t, "good", "1", "riscv64")
	at := "http://" + f.host + "/"
	several := t.TempDir()
	p := New(quick())
	for _, name := range []string{"riscv64", "arm64"} {
		f.multi(t, "s"+name, "1", "riscv64", "arm64")
		if _, err := p.Copy(t.Context(), at+"s"+name+":1", "oci:"+several+":"+name, CopyOptions{All: true}); err != nil {
			t.Fatal(err)
		}
	}
	any := func(context.Context, Image, ocispec.Platform) error { return nil }
	judge := func(_ context.Context, img Image, _ ocispec.Platform) error { return errors.New("bin/x is for amd64") }
	for _, c := range []struct {
		name, src, dst, want string
		opt                  CopyOptions
	}{
		{"arm64 only", at + "arm:1", "", "no linux/riscv64 image, only linux/arm64", CopyOptions{}},
		{"one image of arm64", at + "arm:arm64", "", "no linux/riscv64 image, only linux/arm64", CopyOptions{}},
		{"two others", at + "two:1", "", "only linux/amd64, linux/arm64", CopyOptions{}},
		{"other platform asked for", at + "two:1", "", "no linux/s390x image", CopyOptions{Platform: "linux/s390x"}},
		{"no platform", at + "two:1", "", "reading platform", CopyOptions{Platform: "///"}},
		{"the index lies", at + "lie:1", "", "is for linux/riscv64, its configuration says linux/amd64", CopyOptions{Judge: any}},
		{"judged", at + "good:1", "", "bin/x is for amd64", CopyOptions{Judge: judge}},
		{"judged with others", at + "good:1", "", "bin/x is for amd64", CopyOptions{Judge: judge, All: true}},
		{"no image", at + "art:1", "", "only unknown", CopyOptions{}},
		{"bad digest", at + "bad:1", "", "digest", CopyOptions{All: true}},
		{"absent", at + "none:1", "", "404", CopyOptions{}},
		{"several images", "oci:" + several, "", "name one as oci:" + several + ":NAME", CopyOptions{}},
		{"several indexes", "oci:" + several, "", "name one as oci:" + several + ":NAME", CopyOptions{All: true}},
		{"name not there", "oci:" + several + ":nope", "", "none of that name", CopyOptions{}},
		{"digest as destination", at + "good:1", at + "good@" + lie.Digest.String(), "write a tag", CopyOptions{}},
		{"index into docker archive", at + "good:1", "docker-archive:x.tar", "holds no index", CopyOptions{All: true}},
		{"foreign directory", at + "good:1", "oci:../pusher", "no part of an OCI layout", CopyOptions{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.dst == "" {
				c.dst = at + "written:1"
			}
			_, err := p.Copy(t.Context(), c.src, c.dst, c.opt)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
			if f.get("written", "1").raw != nil {
				t.Error("written although refused")
			}
		})
	}
	if _, err := p.Copy(t.Context(), at+"lie:1", at+"written:1", CopyOptions{}); err != nil {
		t.Errorf("told not to look: %v", err)
	}
}

// TestCopyMergesIntoLayout: other images of a layout stay, a name moves.
func TestCopyMergesIntoLayout(t *testing.T) {
	f := startFake(t)
	f.multi(t, "a", "1", "riscv64")
	f.multi(t, "b", "1", "riscv64")
	dir := filepath.Join(t.TempDir(), "lay")
	p := New(quick())
	copied := func(repo, name string) {
		t.Helper()
		if _, err := p.Copy(t.Context(), "http://"+f.host+"/"+repo+":1", strings.TrimSuffix("oci:"+dir+":"+name, ":"), CopyOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	index := func() string {
		t.Helper()
		raw, err := os.ReadFile(filepath.Join(dir, "index.json"))
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	copied("a", "one")
	first := index()
	entry := first[strings.Index(first, "[")+1 : strings.LastIndex(first, "]")]
	copied("b", "two")
	copied("b", "two")
	if got := index(); !strings.Contains(got, entry+",") || strings.Count(got, `"two"`) != 1 {
		t.Errorf("got %s", got)
	}
	copied("b", "one")
	if got := index(); strings.Contains(got, entry) || strings.Count(got, `"one"`) != 1 {
		t.Errorf("the name did not move: %s", got)
	}
	copied("a", "") // under the name it has at the registry
	if got := index(); !strings.Contains(got, `"io.containerd.image.name":"`+f.host+`/a:1"`) {
		t.Errorf("got %s", got)
	}
	o, err := p.open(t.Context(), location{kind: kindLayout, path: dir, name: f.host + "/a:1"}, "")
	if err != nil || len(o.roots) != 1 {
		t.Errorf("%+v, %v", o, err)
	}
}

// TestCopyNeverTagsWhatIsMissing: where a blob cannot be sent there is no tag.
func TestCopyNeverTagsWhatIsMissing(t *testing.T) {
	a, b := startFake(t), startFake(t)
	a.multi(t, "x", "1", "riscv64", "amd64")
	n := 0
	b.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/blobs/") {
			if n++; n > 2 {
				refuseWith(w, http.StatusForbidden, "DENIED")
				return true
			}
		}
		return false
	}
	_, err := New(quick()).Copy(t.Context(), "http://"+a.host+"/x:1", "http://"+b.host+"/x:1", CopyOptions{All: true})
	var e *Error
	if !errors.As(err, &e) || b.get("x", "1").raw != nil {
		t.Errorf("%v; %s", err, b.get("x", "1").raw)
	}
}

// TestSkopeoReadsCopies holds what is written against another reader.
func TestSkopeoReadsCopies(t *testing.T) {
	skopeo, err := exec.LookPath("skopeo")
	if err != nil {
		t.Fatal("the second reader of layouts is missing: apt-get install skopeo")
	}
	f := startFake(t)
	img := testImage(t, "riscv64", gzipped(t, tarBytes(t)))
	p := New(quick())
	if _, err := p.Push(t.Context(), img, []string{"http://" + f.host + "/x:1"}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, to := range []string{"oci:" + dir + "/lay:v1", "oci-archive:" + dir + "/a.tar", "docker-archive:" + dir + "/b.tar:x:1"} {
		if _, err := p.Copy(t.Context(), "http://"+f.host+"/x:1", to, CopyOptions{}); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(skopeo, "--override-arch", "riscv64", "inspect", to).CombinedOutput()
		if err != nil || !strings.Contains(string(out), `"riscv64"`) {
			t.Errorf("%s: %v\n%s", to, err, out)
		}
	}
}
