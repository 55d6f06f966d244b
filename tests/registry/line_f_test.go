package registry

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/tests/rig"
)

// TestLineRegistryF: an image for other machines is not copied as one for
// riscv64, whatever its configuration says.
func TestLineRegistryF(t *testing.T) {
	s := serve(t, "--quiet")
	dir, err := os.MkdirTemp(rig.Work, "image-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l := layout{t, dir}
	busybox := func(says, is string) ocispec.Descriptor {
		return l.plainImage(says, archive(t, "etc/motd", []byte(says)), archive(t, "bin/busybox", program(is)))
	}
	amd64, arm64, liar := busybox("amd64", "amd64"), busybox("arm64", "arm64"), busybox("riscv64", "amd64")
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{amd64, arm64}}
	all := l.blob(ocispec.MediaTypeImageIndex, index)
	for name, d := range map[string]*ocispec.Descriptor{"amd64": &amd64, "liar": &liar, "index": &all} {
		d.Annotations = map[string]string{ocispec.AnnotationRefName: name}
	}
	l.file(ocispec.ImageIndexFile, ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []ocispec.Descriptor{amd64, liar, all}})
	l.file(ocispec.ImageLayoutFile, ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
	at := func(name string) string { return "http://" + s.addr + "/other/busybox:" + name }
	must := func(args ...string) {
		if r := rig.Run(t.Context(), nil, append([]string{"copy"}, args...)...); r.Code != 0 {
			t.Fatalf("copy %q: exit code %d\n%s", args, r.Code, r.Stderr)
		}
	}
	must("--all", "oci:"+dir+":index", at("index"))
	must("--platform", "linux/amd64", "oci:"+dir+":amd64", at("amd64"))
	must("--allow-other-arch", "oci:"+dir+":liar", at("liar"))

	refused := 0
	for name, want := range map[string][]string{
		"index": {"linux/riscv64", "linux/amd64", "linux/arm64"},
		"amd64": {"linux/riscv64", "linux/amd64"},
		"liar":  {"/bin/busybox", "amd64", "--allow-other-arch"},
	} {
		r := rig.Run(t.Context(), nil, "copy", "--platform", "linux/riscv64", at(name), "http://"+s.addr+"/own/busybox:"+name)
		ok := r.Code != 0
		for _, w := range want {
			ok = ok && strings.Contains(r.Stderr, w)
		}
		if _, err := complete(http.DefaultClient, s.addr, "own/busybox", name); !ok || err != errAbsent {
			t.Errorf("%s: exit code %d, the tag: %v; want a refusal that says %q\n%s", name, r.Code, err, want, r.Stderr)
			continue
		}
		refused++
		t.Logf("%s: %s", name, strings.TrimSpace(r.Stderr))
	}
	rig.Figure{Line: "RegistryF", OK: refused == 3, Got: fmt.Sprintf("%d of 3 images for other machines refused with what they are", refused), Limit: "3"}.Report(t)
}
