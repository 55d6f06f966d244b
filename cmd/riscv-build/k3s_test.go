package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/builder"
)

func TestK3sNames(t *testing.T) {
	for image, c := range map[string]struct {
		short string
		names string
	}{
		"rancher/mirrored-pause:3.6":                        {"pause", "pause pause:3.6 mirrored-pause rancher/mirrored-pause docker.io/rancher/mirrored-pause docker.io/rancher/mirrored-pause:3.6"},
		"docker.io/rancher/mirrored-coredns-coredns:1.13.1": {"coredns", "coredns mirrored-coredns-coredns:1.13.1"},
		"rancher/mirrored-library-traefik:3.5.1":            {"traefik", "traefik"},
		"rancher/mirrored-metrics-server:v0.8.0":            {"metrics-server", "metrics-server:v0.8.0"},
		"rancher/klipper-helm:v0.9.12":                      {"klipper-helm", "klipper-helm rancher/klipper-helm"},
		"registry.k8s.io/pause:3.6":                         {"pause", "registry.k8s.io/pause"},
	} {
		i, err := newK3sImage(image)
		if err != nil || i.short != c.short {
			t.Errorf("%s: %q, %v", image, i.short, err)
			continue
		}
		for _, name := range strings.Fields(c.names) {
			if !i.is(name) {
				t.Errorf("%s is not found as %s", image, name)
			}
		}
		if i.is("pause:3.9") || i.is("mirrored") || i.is("") {
			t.Errorf("%s is found as what it is not", image)
		}
	}
}

func TestK3sList(t *testing.T) {
	list, err := parseK3sList("x", "# K3s\n\nrancher/mirrored-pause:3.6  # sandbox\r\ndocker.io/rancher/mirrored-pause:3.6\nrancher/klipper-lb:v0.4.13")
	if err != nil || len(list) != 2 || list[1].full != "docker.io/rancher/klipper-lb:v0.4.13" {
		t.Errorf("%v, %v", list, err)
	}
	for text, want := range map[string]string{
		"":                                    "names no image",
		"a:1\nNo Name\nb@sha256:12":           `line 2, "No Name"`,
		"x@sha256:" + strings.Repeat("a", 64): "no tag",
	} {
		if _, err := parseK3sList("x", text); err == nil || !is[usageError](err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if list, err := parseK3sList("x", k3sSystemImages); err != nil || len(list) != 8 {
		t.Errorf("built in: %d images, %v", len(list), err)
	}
}

// TestK3sRelease asks a server that stands for K3s's release page.
func TestK3sRelease(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1.35.0+k3s1/k3s-images.txt" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = io.WriteString(w, "docker.io/rancher/mirrored-pause:3.6\n")
	}))
	old := k3sReleases
	k3sReleases = server.URL
	t.Cleanup(func() { k3sReleases = old })
	code, stdout, stderr := do(t, "k3s", "images", "--release", "v1.35.0+k3s1", "--json")
	if code != 0 || strings.Count(stdout, `"image"`) != 1 || !strings.Contains(stdout, `"found": "pause 3.6"`) {
		t.Errorf("exit %d, %s%s", code, stdout, stderr)
	}
	if code, _, stderr = do(t, "k3s", "images", "--release", "v9"); code != exitNetwork || !strings.Contains(stderr, "--list") {
		t.Errorf("exit %d, %s", code, stderr)
	}
	server.Close()
	if code, _, stderr = do(t, "k3s", "images", "--release", "v1.35.0+k3s1"); code != exitNetwork || !strings.Contains(stderr, "--list") {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

// k3sSome is a list with images that the catalogue will never have.
func k3sSome(t *testing.T) string {
	t.Helper()
	list := filepath.Join(t.TempDir(), "k3s-images.txt")
	text := strings.ReplaceAll(k3sSystemImages, "rancher/klipper-", "rancher/no-")
	if err := os.WriteFile(list, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestK3sImages(t *testing.T) {
	mine := startFakeRegistry(t)
	mine.image(t, "riscv64/coredns:1.13.1", "riscv64", machineRISCV64)
	mine.image(t, "rancher/no-lb:v0.4.13", "arm64", machineARM64)
	code, stdout, stderr := do(t, "k3s", "images", "--json", "--registry", mine.URL, "--list", k3sSome(t))
	var doc struct{ Results []availability }
	if err := json.Unmarshal([]byte(stdout), &doc); err != nil || code != 0 || len(doc.Results) != 8 {
		t.Fatalf("exit %d, %v, %s%s", code, err, stdout, stderr)
	}
	got := map[string]string{}
	for _, i := range doc.Results {
		got[i.Image] = i.Verdict + ", " + i.Registry.State + ", " + i.Catalogue.State
	}
	for image, want := range map[string]string{
		"docker.io/rancher/mirrored-coredns-coredns:1.13.1": "yes, yes, ", // whatever the catalogue has
		"docker.io/rancher/no-lb:v0.4.13":                   "unknown, no, no",
		"docker.io/rancher/mirrored-pause:3.6":              "yes, no, yes",
	} {
		if !strings.HasPrefix(got[image], want) {
			t.Errorf("%s: %s", image, got[image])
		}
	}
	if !strings.Contains(stderr, " pause --push "+mine.URL+"`") || !strings.Contains(stderr, "`riscv-build copy docker.io/rancher/no-helm:v0.9.12 "+mine.URL+"/rancher/no-helm:v0.9.12`") {
		t.Errorf("the hint is %s", stderr)
	}
}

// bundleNames reads the names of an uncompressed bundle.
func bundleNames(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			t.Fatal("no index.json")
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Name != "index.json" {
			continue
		}
		var index ocispec.Index
		if err := json.NewDecoder(tr).Decode(&index); err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, d := range index.Manifests {
			all = append(all, d.Annotations["io.containerd.image.name"]+" "+d.Platform.Architecture)
		}
		return strings.Join(all, ", ")
	}
}

func TestK3sBundle(t *testing.T) {
	mine := startFakeRegistry(t)
	right := mine.image(t, "riscv64/pause:3.6", "riscv64", machineRISCV64)
	mine.index("rancher/mirrored-metrics-server:v0.8.0", mine.image(t, "rancher/mirrored-metrics-server:a", "arm64", machineARM64),
		mine.image(t, "rancher/mirrored-metrics-server:b", "riscv64", machineRISCV64))
	mine.image(t, "my/traefik:9", "riscv64", machineRISCV64)
	out := filepath.Join(t.TempDir(), "k3s.tar")
	code, stdout, stderr := do(t, "k3s", "bundle", "-o", out, "--registry", mine.URL, "--list", k3sSome(t), "--map", "traefik="+mine.URL+"/my/traefik:9")
	if code != 0 || !strings.Contains(stdout, "3 of 8 images") || !strings.Contains(stdout, bundleHome) {
		t.Fatalf("exit %d, %s%s", code, stdout, stderr)
	}
	// The three are one image in three places, which three names lead to.
	want := "docker.io/rancher/mirrored-library-traefik:3.5.1 riscv64, docker.io/rancher/mirrored-metrics-server:v0.8.0 riscv64, docker.io/rancher/mirrored-pause:3.6 riscv64"
	if got := bundleNames(t, out); got != want {
		t.Errorf("it names %s", got)
	}
	if strings.Count(stderr, "is missing") != 5 || !strings.Contains(stderr, "`riscv-build busybox`") || !strings.Contains(stderr, "riscv-build copy docker.io/rancher/no-lb:v0.4.13 "+mine.URL) {
		t.Errorf("it said %s", stderr)
	}
	code, stdout, _ = do(t, "k3s", "bundle", "-o", out, "--registry", mine.URL, "--only", "pause", "--json")
	var report bundleReport
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || code != 0 || len(report.Images) != 1 || len(report.Missing) != 0 ||
		report.Images[0].Digest != right.Digest || report.Size == 0 || bundleNames(t, out) != "docker.io/rancher/mirrored-pause:3.6 riscv64" {
		t.Errorf("exit %d, %v, %s", code, err, stdout)
	}
}

func TestK3sBundleRefuses(t *testing.T) {
	mine, gone := startFakeRegistry(t), startFakeRegistry(t)
	gone.Close()
	mine.image(t, "lies:1", "riscv64", machineARM64)
	mine.image(t, "arm:1", "arm64", machineARM64)
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"", exitFailed, "none of 8 was found"},
		{"--registry " + mine.URL, exitFailed, "`riscv-build pause`"},
		{"--registry " + gone.URL, exitNetwork, "nothing listens there"},
		{"--map pause=" + mine.URL + "/lies:1", exitFailed, "/bin/busybox is an ELF file for arm64"},
		{"--map pause=" + mine.URL + "/arm:1", exitFailed, "its configuration says linux/arm64"},
		{"--map pause=" + mine.URL + "/none:1", exitNetwork, "none:1"},
		{"--map pause", exitUsage, "write NAME=REF"},
		{"--map paws=x:1", exitUsage, "klipper-helm, klipper-lb"},
		{"--only paws", exitUsage, "klipper-helm, klipper-lb"},
		{"--only pause --map traefik=x:1", exitUsage, "no image \"traefik\" is bundled"},
		{"--list none.txt", exitUsage, "none.txt"},
		{"--list x --release v1", exitUsage, "leave one of the two out"},
		{"-o x.zip", exitUsage, "FILE.tar.zst"},
		{"-o no/x.tar", exitUsage, "make the directory first"},
		{"x", exitUsage, "takes none"},
	} {
		code, _, stderr := do(t, append([]string{"k3s", "bundle"}, strings.Fields(c.args)...)...)
		if code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit %d, %s", c.args, code, stderr)
		}
		if left, _ := filepath.Glob("*"); len(left) > 0 {
			t.Errorf("%s: left %v behind", c.args, left)
		}
	}
}

func TestK3sBuilt(t *testing.T) {
	list, err := parseK3sList("a list", "docker.io/rancher/mirrored-coredns-coredns:1.13.1")
	if err != nil {
		t.Fatal(err)
	}
	at := func(name, version string, tags ...string) builder.Finished {
		return builder.Finished{Name: name, Version: version, Tags: tags}
	}
	for _, x := range []struct {
		what         string
		all          []builder.Finished
		exact, other string
	}{
		{"nothing", nil, "", ""},
		{"another image", []builder.Finished{at("pause", "1.13.1")}, "", ""},
		{"its version", []builder.Finished{at("coredns", "1.12.0"), at("coredns", "1.13.1")}, "1.13.1", ""},
		{"its tag", []builder.Finished{at("coredns", "1.13", "1.13.1")}, "1.13", ""},
		{"other versions", []builder.Finished{at("coredns", "1.12.0"), at("coredns", "1.15.0")}, "", "1.15.0"},
	} {
		exact, other := built(x.all, list[0])
		got := func(f *builder.Finished) string {
			if f == nil {
				return ""
			}
			return f.Version
		}
		if got(exact) != x.exact || got(other) != x.other {
			t.Errorf("%s: %q, else %q; want %q, else %q", x.what, got(exact), got(other), x.exact, x.other)
		}
	}
}
