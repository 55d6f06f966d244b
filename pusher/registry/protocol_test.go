package registry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// client talks to a registry as a test's rows say.
type client struct {
	t    *testing.T
	base string
}

// answer is what came.
type answer struct {
	status int
	header http.Header
	body   string
}

// code is that of an error (distribution-spec, "Error Codes").
func (a answer) code() string {
	var doc struct{ Errors []struct{ Code string } }
	if json.Unmarshal([]byte(a.body), &doc) != nil || len(doc.Errors) == 0 {
		return ""
	}
	return doc.Errors[0].Code
}

func openStore(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func serve(t *testing.T, h http.Handler) client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return client{t, srv.URL}
}

func (c client) do(method, path, body string, header ...string) answer {
	c.t.Helper()
	req, err := http.NewRequest(method, path, strings.NewReader(body))
	if !strings.HasPrefix(path, "http") {
		req, err = http.NewRequest(method, c.base+path, strings.NewReader(body))
	}
	if err != nil {
		c.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req) // no redirects
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(raw)}
}

// want holds the status and, unless it is "", the code of the error.
func (c client) want(a answer, status int, code string) answer {
	c.t.Helper()
	if a.status != status || a.code() != code {
		c.t.Errorf("got %d %s, want %d %s", a.status, a.body, status, code)
	}
	return a
}

// blob sends a blob in one request.
func (c client) blob(repo, content string) ocispec.Descriptor {
	c.t.Helper()
	d := digest.FromString(content)
	c.want(c.do("POST", "/v2/"+repo+"/blobs/uploads/?digest="+d.String(), content), 201, "")
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: d, Size: int64(len(content))}
}

// image sends an image with a layer and gives its manifest.
func (c client) image(repo, tag, layer string) (ocispec.Descriptor, string) {
	c.t.Helper()
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: c.blob(repo, "{}"), Layers: []ocispec.Descriptor{c.blob(repo, layer)}}
	m.SchemaVersion, m.Config.MediaType = 2, ocispec.MediaTypeImageConfig
	return c.manifest(repo, tag, m)
}

func (c client) manifest(repo, ref string, m any) (ocispec.Descriptor, string) {
	c.t.Helper()
	raw, err := json.Marshal(m)
	if err != nil {
		c.t.Fatal(err)
	}
	var typ struct{ MediaType string }
	_ = json.Unmarshal(raw, &typ)
	desc := ocispec.Descriptor{MediaType: typ.MediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	if ref == "" {
		ref = desc.Digest.String()
	}
	c.want(c.do("PUT", "/v2/"+repo+"/manifests/"+ref, string(raw), "Content-Type", typ.MediaType), 201, "")
	return desc, string(raw)
}

func TestUploads(t *testing.T) {
	s := openStore(t)
	c := serve(t, newProtocol(s, s))
	const content = "0123456789"
	d := "?digest=" + digest.FromString(content).String()
	begin := func() string {
		a := c.want(c.do("POST", "/v2/a/b/blobs/uploads/", ""), 202, "")
		if a.header.Get("OCI-Chunk-Min-Length") == "" {
			t.Error("no OCI-Chunk-Min-Length")
		}
		return c.base + a.header.Get("Location")
	}
	for name, way := range map[string]func(){
		"monolithic PUT": func() { c.want(c.do("PUT", begin()+d, content), 201, "") },
		"chunks, as docker and containerd send them": func() {
			at := begin()
			c.want(c.do("PATCH", at, content[:4]), 202, "")
			c.want(c.do("PATCH", at, content[4:]), 202, "")
			c.want(c.do("PUT", at+d, ""), 201, "")
		},
		"chunks with ranges, one byte, the rest in the closing PUT": func() {
			at := begin()
			c.want(c.do("PATCH", at, content[:1], "Content-Range", "0-0"), 202, "")
			a := c.want(c.do("PATCH", at, content[1:6], "Content-Range", "1-5"), 202, "")
			if a.header.Get("Range") != "0-5" {
				t.Errorf("Range %q", a.header.Get("Range"))
			}
			c.want(c.do("PUT", at+d, content[6:], "Content-Range", "6-9"), 201, "")
		},
		"a chunk out of order": func() {
			at := begin()
			c.want(c.do("PATCH", at, content[:5], "Content-Range", "0-4"), 202, "")
			a := c.want(c.do("PATCH", at, content[7:], "Content-Range", "7-9"), 416, "RANGE_INVALID")
			if a.header.Get("Range") != "0-4" {
				t.Errorf("Range %q", a.header.Get("Range"))
			}
			c.want(c.do("PATCH", at, content[:5], "Content-Range", "0-4"), 416, "RANGE_INVALID")
			if a := c.do("GET", at, ""); a.status != 204 || a.header.Get("Range") != "0-4" {
				t.Errorf("got %d %q", a.status, a.header.Get("Range"))
			}
			c.want(c.do("PATCH", at, content[5:], "Content-Range", "nonsense"), 416, "BLOB_UPLOAD_INVALID")
			c.want(c.do("PATCH", at, content[5:], "Content-Range", "5-11"), 400, "SIZE_INVALID")
			c.want(c.do("PUT", at+d, content[5:], "Content-Range", "5-9"), 201, "")
		},
		"SHA-512": func() {
			sum := digest.SHA512.FromString(content).String()
			c.want(c.do("PUT", begin()+"?digest="+sum, content), 201, "")
			at := begin()
			c.want(c.do("PATCH", at, content), 202, "")
			c.want(c.do("PUT", at+"?digest="+sum, ""), 201, "")
			c.want(c.do("POST", "/v2/a/b/blobs/uploads/?digest="+sum, content), 201, "")
			if a := c.do("GET", "/v2/a/b/blobs/"+sum, ""); a.body != content {
				t.Error(a)
			}
		},
		"a wrong digest": func() {
			at := begin()
			c.want(c.do("PUT", at+d, "else"), 400, "DIGEST_INVALID")
			c.want(c.do("GET", at, ""), 404, "BLOB_UPLOAD_UNKNOWN")
			c.want(c.do("POST", "/v2/a/b/blobs/uploads/"+d, "else"), 400, "DIGEST_INVALID")
			c.want(c.do("PUT", begin()+"?digest=sha256:12", "else"), 400, "DIGEST_INVALID")
		},
		"cancelled": func() {
			at := begin()
			c.want(c.do("DELETE", at, ""), 204, "")
			c.want(c.do("PATCH", at, content), 404, "BLOB_UPLOAD_UNKNOWN")
		},
		"in another repository": func() {
			at := strings.Replace(begin(), "/a/b/", "/a/c/", 1)
			c.want(c.do("PATCH", at, content), 404, "BLOB_UPLOAD_UNKNOWN")
		},
		"empty": func() {
			c.want(c.do("PUT", begin()+"?digest="+digest.FromString("").String(), ""), 201, "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.t = t
			way()
			if got := c.do("GET", "/v2/a/b/blobs/"+d[8:], ""); got.status == 200 && got.body != content {
				t.Error(got)
			}
		})
	}
}

func TestBlobs(t *testing.T) {
	s := openStore(t)
	c := serve(t, newProtocol(s, s))
	content := strings.Repeat("0123456789", 100_000)
	desc := c.blob("a/b", content)
	at := "/v2/a/b/blobs/" + desc.Digest.String()
	for _, r := range []struct {
		asked, content, given string
		status                int
	}{
		{"", content, "", 200},
		{"bytes=0-9", content[:10], "bytes 0-9/1000000", 206},
		{"bytes=999990-", content[:10], "bytes 999990-999999/1000000", 206},
		{"bytes=-10", content[:10], "bytes 999990-999999/1000000", 206},
		{"bytes=-2000000", content, "bytes 0-999999/1000000", 206},
		{"bytes=5-1999999", content[5:], "bytes 5-999999/1000000", 206},
	} {
		a := c.do("GET", at, "", "Range", r.asked)
		if a.status != r.status || a.body != r.content || a.header.Get("Content-Range") != r.given ||
			a.header.Get("Docker-Content-Digest") != desc.Digest.String() || a.header.Get("Accept-Ranges") != "bytes" {
			t.Errorf("%s: got %d, %d bytes, %v", r.asked, a.status, len(a.body), a.header)
		}
	}
	c.want(c.do("GET", at, "", "Range", "bytes=1000000-"), 416, "RANGE_INVALID")
	if a := c.do("HEAD", at, ""); a.status != 200 || a.header.Get("Content-Length") != "1000000" || a.header.Get("Docker-Content-Digest") != desc.Digest.String() {
		t.Error(a)
	}

	unknown := digest.FromString("unknown").String()
	c.want(c.do("GET", "/v2/a/b/blobs/"+unknown, ""), 404, "BLOB_UNKNOWN")
	c.want(c.do("GET", "/v2/a/c/blobs/"+desc.Digest.String(), ""), 404, "NAME_UNKNOWN")
	if a := c.do("HEAD", "/v2/a/c/blobs/"+desc.Digest.String(), ""); a.status != 404 {
		t.Error(a)
	}

	mount := func(from, d string) answer {
		return c.do("POST", "/v2/m/blobs/uploads/?mount="+d+"&from="+from, "")
	}
	c.want(mount("nowhere", desc.Digest.String()), 202, "")
	c.want(mount("a/b", unknown), 202, "")
	c.want(c.do("POST", "/v2/m/blobs/uploads/?mount="+desc.Digest.String(), ""), 202, "")
	if a := c.want(mount("a/b", desc.Digest.String()), 201, ""); a.header.Get("Location") != "/v2/m/blobs/"+desc.Digest.String() {
		t.Error(a)
	}
	if a := c.do("GET", "/v2/m/blobs/"+desc.Digest.String(), ""); a.body != content {
		t.Error(a.status)
	}
	c.want(c.do("DELETE", at, ""), 202, "")
	c.want(c.do("DELETE", at, ""), 404, "BLOB_UNKNOWN")
	c.want(c.do("GET", "/v2/m/blobs/"+desc.Digest.String(), "", "Range", "bytes=0-3"), 206, "")
}

func TestManifests(t *testing.T) {
	s := openStore(t)
	c := serve(t, newProtocol(s, s))
	desc, raw := c.image("a/b", "V1", "layer")
	for _, ref := range []string{"V1", desc.Digest.String()} {
		for _, method := range []string{"GET", "HEAD"} {
			a := c.do(method, "/v2/a/b/manifests/"+ref, "")
			if a.status != 200 || a.header.Get("Docker-Content-Digest") != desc.Digest.String() || a.header.Get("Content-Type") != desc.MediaType ||
				a.header.Get("Content-Length") != fmt.Sprint(len(raw)) || method == "GET" && a.body != raw {
				t.Errorf("%s %s: %v", method, ref, a)
			}
		}
	}
	c.want(c.do("GET", "/v2/a/b/manifests/v1", ""), 404, "MANIFEST_UNKNOWN")
	c.want(c.do("GET", "/v2/nope/manifests/v1", ""), 404, "NAME_UNKNOWN")
	c.want(c.do("GET", "/v2/a/b/manifests/"+digest.FromString("x").String(), ""), 404, "MANIFEST_UNKNOWN")

	put := func(ref, contentType, body string) answer {
		return c.do("PUT", "/v2/a/b/manifests/"+ref, body, "Content-Type", contentType)
	}
	oci := ocispec.MediaTypeImageManifest
	sum512 := digest.SHA512.FromString(raw).String()
	a := c.want(put(sum512, oci+"; charset=utf-8", raw), 201, "")
	if a.header.Get("Docker-Content-Digest") != sum512 || a.header.Get("Location") != "/v2/a/b/manifests/"+sum512 {
		t.Error(a)
	}
	if a := c.do("GET", "/v2/a/b/manifests/"+sum512, ""); a.body != raw {
		t.Error(a)
	}
	missing := strings.Replace(raw, digest.FromString("layer").Encoded(), digest.FromString("gone").Encoded(), 1)
	for name, r := range map[string]struct {
		answer
		status int
		code   string
	}{
		"too large":       {put("x", oci, strings.Repeat(" ", maxManifest)+raw), 413, "MANIFEST_INVALID"},
		"no type":         {put("x", "", raw), 400, "MANIFEST_INVALID"},
		"unknown type":    {put("x", "application/json", raw), 400, "MANIFEST_INVALID"},
		"another type":    {put("x", ocispec.MediaTypeImageIndex, raw), 400, "MANIFEST_INVALID"},
		"two types":       {put("x", oci, strings.Replace(raw, "{", `{"manifests":[],`, 1)), 400, "MANIFEST_INVALID"},
		"no JSON":         {put("x", oci, "x"), 400, "MANIFEST_INVALID"},
		"version 1":       {put("x", oci, strings.Replace(raw, `n":2`, `n":1`, 1)), 400, "MANIFEST_INVALID"},
		"path as digest":  {put("x", oci, strings.Replace(raw, "sha256:", "sha256:../", 1)), 400, "MANIFEST_INVALID"},
		"missing blob":    {put("x", oci, missing), 404, "MANIFEST_BLOB_UNKNOWN"},
		"digest mismatch": {put(digest.FromString("x").String(), oci, raw), 400, "DIGEST_INVALID"},
		"bad tag":         {put("-x", oci, raw), 400, "MANIFEST_INVALID"},
	} {
		t.Run(name, func(t *testing.T) {
			c.t = t
			c.want(r.answer, r.status, r.code)
		})
	}
	c.t = t
	c.want(c.do("GET", "/v2/a/b/manifests/x", ""), 404, "MANIFEST_UNKNOWN")
}

func TestIndexesAndDocker(t *testing.T) {
	s := openStore(t)
	c := serve(t, newProtocol(s, s))
	desc, raw := c.image("a", "r", "layer")
	child := ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size, Platform: &ocispec.Platform{OS: "linux", Architecture: "riscv64"}}
	index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{child}}
	index.SchemaVersion = 2
	c.manifest("a", "i", index)
	cache := index
	cache.Manifests = []ocispec.Descriptor{c.blob("a", "a layer of BuildKit's cache")}
	c.manifest("a", "cache", cache)
	body, err := json.Marshal(index)
	if err != nil {
		t.Fatal(err)
	}
	c.want(c.do("PUT", "/v2/b/manifests/i", string(body), "Content-Type", index.MediaType), 404, "MANIFEST_BLOB_UNKNOWN")

	docker := strings.Replace(raw, desc.MediaType, dockerManifest, 1)
	c.want(c.do("PUT", "/v2/a/manifests/d", docker, "Content-Type", dockerManifest), 201, "")
	list := strings.Replace(string(body), index.MediaType, dockerList, 1)
	c.want(c.do("PUT", "/v2/a/manifests/l", list, "Content-Type", dockerList), 201, "")
	if a := c.do("GET", "/v2/a/manifests/l", ""); a.header.Get("Content-Type") != dockerList || a.body != list {
		t.Error(a)
	}
	foreign := strings.Replace(raw, `"layers":[`, `"layers":[{"mediaType":"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip","size":1,"urls":["http://x"],"digest":"`+digest.FromString("foreign").String()+`"},`, 1)
	c.want(c.do("PUT", "/v2/a/manifests/f", foreign, "Content-Type", desc.MediaType), 201, "")

	c.want(c.do("DELETE", "/v2/a/manifests/r", ""), 202, "")
	c.want(c.do("DELETE", "/v2/a/manifests/r", ""), 404, "MANIFEST_UNKNOWN")
	c.want(c.do("GET", "/v2/a/manifests/"+desc.Digest.String(), ""), 200, "")
	c.want(c.do("PUT", "/v2/a/manifests/again", raw, "Content-Type", desc.MediaType), 201, "")
	c.want(c.do("DELETE", "/v2/a/manifests/"+desc.Digest.String(), ""), 202, "")
	c.want(c.do("GET", "/v2/a/manifests/again", ""), 404, "MANIFEST_UNKNOWN")
	if a := c.do("GET", "/v2/a/tags/list", ""); !strings.Contains(a.body, `["cache","d","f","i","l"]`) {
		t.Error(a)
	}
}

func TestReferrers(t *testing.T) {
	s := openStore(t)
	c := serve(t, newProtocol(s, s))
	subject, _ := c.image("a", "1", "layer")
	empty := c.blob("a", "{}")
	refer := func(artifactType, configType string) ocispec.Descriptor {
		m := ocispec.Manifest{
			MediaType: ocispec.MediaTypeImageManifest, ArtifactType: artifactType, Config: empty, Layers: []ocispec.Descriptor{},
			Subject: &subject, Annotations: map[string]string{"a": "b"},
		}
		m.SchemaVersion, m.Config.MediaType = 2, configType
		desc, raw := c.manifest("a", "", m)
		a := c.do("PUT", "/v2/a/manifests/"+desc.Digest.String(), raw, "Content-Type", desc.MediaType)
		if a.header.Get("OCI-Subject") != subject.Digest.String() {
			t.Error(a)
		}
		return desc
	}
	sbom := refer("application/sbom", ocispec.MediaTypeEmptyJSON)
	refer("", "application/signature")
	list := func(d digest.Digest, query string) (ocispec.Index, answer) {
		a := c.want(c.do("GET", "/v2/a/referrers/"+d.String()+query, ""), 200, "")
		var index ocispec.Index
		if err := json.Unmarshal([]byte(a.body), &index); err != nil || a.header.Get("Content-Type") != ocispec.MediaTypeImageIndex {
			t.Error(err, a)
		}
		return index, a
	}
	if all, a := list(subject.Digest, ""); len(all.Manifests) != 2 || a.header.Get("OCI-Filters-Applied") != "" {
		t.Error(a)
	}
	one, a := list(subject.Digest, "?artifactType=application/sbom")
	if len(one.Manifests) != 1 || one.Manifests[0].Annotations["a"] != "b" || one.Manifests[0].Digest != sbom.Digest || a.header.Get("OCI-Filters-Applied") != "artifactType" {
		t.Error(a)
	}
	if one, _ := list(subject.Digest, "?artifactType=application/signature"); len(one.Manifests) != 1 {
		t.Error(one)
	}
	if _, a := list(digest.FromString("none"), ""); !strings.Contains(a.body, `"manifests":[]`) {
		t.Error(a)
	}
	c.want(c.do("GET", "/v2/a/referrers/x", ""), 400, "DIGEST_INVALID")
	c.want(c.do("DELETE", "/v2/a/manifests/"+sbom.Digest.String(), ""), 202, "")
	if all, a := list(subject.Digest, ""); len(all.Manifests) != 1 {
		t.Error(a)
	}
}

func TestLists(t *testing.T) {
	s := openStore(t)
	c := serve(t, newProtocol(s, s))
	if a := c.do("GET", "/v2/_catalog", ""); a.body != `{"repositories":[]}` || a.header.Get("Content-Type") != "application/json" {
		t.Error(a)
	}
	for _, name := range []string{"a/b", "a-b", "a", "c/d/e"} {
		c.image(name, "1", "layer")
	}
	for _, tag := range []string{"latest", "Latest", "LATEST", "1.0"} {
		c.image("a", tag, "layer")
	}
	next := func(a answer) string {
		return strings.TrimSuffix(strings.TrimPrefix(a.header.Get("Link"), "<"), `>; rel="next"`)
	}
	a := c.want(c.do("GET", "/v2/_catalog?n=3", ""), 200, "")
	if a.body != `{"repositories":["a","a-b","a/b"]}` {
		t.Error(a)
	}
	if a = c.do("GET", next(a), ""); a.body != `{"repositories":["c/d/e"]}` || next(a) != "" {
		t.Error(a)
	}
	if a = c.do("GET", "/v2/a/tags/list", ""); a.body != `{"name":"a","tags":["1","1.0","LATEST","Latest","latest"]}` {
		t.Error(a)
	}
	if a = c.do("GET", "/v2/a/tags/list?n=2", ""); next(a) != "/v2/a/tags/list?last=1.0&n=2" {
		t.Error(a)
	}
	if a = c.do("GET", "/v2/a/tags/list?last=Latest&n=5", ""); a.body != `{"name":"a","tags":["latest"]}` {
		t.Error(a)
	}
	if a = c.do("GET", "/v2/a/tags/list?n=0", ""); a.body != `{"name":"a","tags":[]}` || next(a) != "" {
		t.Error(a)
	}
	if a = c.do("HEAD", "/v2/a/tags/list", ""); a.status != 200 || a.body != "" || a.header.Get("Content-Length") == "0" {
		t.Error(a)
	}
	c.want(c.do("GET", "/v2/a/tags/list?n=-1", ""), 400, "PAGINATION_NUMBER_INVALID")
	c.want(c.do("GET", "/v2/nope/tags/list", ""), 404, "NAME_UNKNOWN")
}

func TestWhatIsNoNameIsRefused(t *testing.T) {
	s := openStore(t)
	c := serve(t, newProtocol(s, s))
	d := digest.FromString("x").String()
	for _, row := range []struct {
		method, path string
		status       int
		code         string
	}{
		{"GET", "/v2/../../etc/passwd", 404, "NAME_UNKNOWN"},
		{"GET", "/v2/../x/blobs/" + d, 400, "NAME_INVALID"},
		{"GET", "/v2/a/..%2f..%2f..%2fetc/blobs/" + d, 400, "NAME_INVALID"},
		{"POST", "/v2/a/../b/blobs/uploads/", 400, "NAME_INVALID"},
		{"POST", "/v2/A/blobs/uploads/", 400, "NAME_INVALID"},
		{"POST", "/v2/_blobs/blobs/uploads/", 400, "NAME_INVALID"},
		{"POST", "/v2/" + strings.Repeat("a", 256) + "/blobs/uploads/", 400, "NAME_INVALID"},
		{"POST", "/v2/a/blobs/uploads/?mount=" + d + "&from=../x", 202, ""},
		{"POST", "/v2/a/blobs/uploads/?digest=sha256:../../x", 400, "DIGEST_INVALID"},
		{"GET", "/v2/a/blobs/sha256:..%2f..%2fx", 404, "BLOB_UNKNOWN"},
		{"GET", "/v2/a/blobs/md5:d41d8cd98f00b204e9800998ecf8427e", 400, "DIGEST_INVALID"},
		{"PUT", "/v2/../a/manifests/x", 400, "NAME_INVALID"},
		{"PUT", "/v2/a/manifests/..%2f..%2fx", 404, "MANIFEST_UNKNOWN"},
		{"GET", "/v2/a/manifests/", 404, "MANIFEST_UNKNOWN"},
		{"PUT", "/v2/a/manifests/", 404, "MANIFEST_UNKNOWN"},
		{"GET", "/v2/a/blobs/", 400, "DIGEST_INVALID"},
		{"GET", "/v2/a/tags/", 404, "NAME_UNKNOWN"},
		{"GET", "/v2/manifests/x", 404, "MANIFEST_UNKNOWN"},
		{"PATCH", "/v2/a/blobs/uploads/", 405, "UNSUPPORTED"},
		{"GET", "/v2//manifests/x", 400, "NAME_INVALID"},
		{"GET", "/v2/a/manifests/..", 404, "MANIFEST_UNKNOWN"},
		{"DELETE", "/v2/a/manifests/..%2fx", 404, "MANIFEST_UNKNOWN"},
		{"PATCH", "/v2/a/blobs/uploads/Li4vLi4vLi4veA", 404, "BLOB_UPLOAD_UNKNOWN"}, // ../../../x
		{"GET", "/v2/../tags/list", 400, "NAME_INVALID"},
		{"GET", "/v2/../referrers/" + d, 400, "NAME_INVALID"},
		{"POST", "/v2/a/manifests/x", 405, "UNSUPPORTED"},
		{"PUT", "/v2/a/blobs/" + d, 405, "UNSUPPORTED"},
		{"POST", "/v2/_catalog", 405, "UNSUPPORTED"},
		{"GET", "/v2/nonsense", 404, "NAME_UNKNOWN"},
	} {
		t.Run(row.method+" "+row.path, func(t *testing.T) {
			c.t = t
			req, err := http.NewRequest(row.method, c.base, bytes.NewReader(nil))
			if err != nil {
				t.Fatal(err)
			}
			req.URL.Opaque = "//" + req.URL.Host + row.path // as it is, nothing cleaned
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			raw, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			c.want(answer{resp.StatusCode, resp.Header, string(raw)}, row.status, row.code)
		})
	}
	c.t = t
	c.want(c.do("GET", "/v2/", ""), 200, "")
	c.want(c.do("GET", "/v2", ""), 200, "")
}
