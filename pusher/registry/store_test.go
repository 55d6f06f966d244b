package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cuelabs.dev/go/oci/ociregistry"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestTagFiles(t *testing.T) {
	long := strings.Repeat("A", 128)
	seen := map[string]bool{}
	for _, tag := range []string{"latest", "Latest", "LATEST", "1.0", "v1_RC-2", long, strings.ToLower(long), long[1:] + "_"} {
		file := tagFile(tag)
		if back, ok := tagOf(file); !ok || back != tag {
			t.Errorf("%q becomes %q, %v", tag, back, ok)
		}
		if small := strings.ToLower(file); small != file || seen[small] || len(file) > 255 {
			t.Errorf("%q has the file %q", tag, file)
		}
		seen[file] = true
	}
	for _, file := range []string{"", "a~", "a~zz", "a~0000", ".x"} {
		if tag, ok := tagOf(file); ok {
			t.Errorf("%q is %q", file, tag)
		}
	}
}

// TestUploadsOutliveTheServer: the second store is the process after a kill.
func TestUploadsOutliveTheServer(t *testing.T) {
	first := openStore(t)
	ctx := context.Background()
	u, err := first.openUpload(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(u, "half"); err != nil {
		t.Fatal(err)
	}
	second, err := Open(first.root)
	if err != nil {
		t.Fatal(err)
	}
	v, err := second.resumeUpload(expecting(ctx, expected{offset: 4}), "a", u.ID())
	if err != nil || v.Size() != 4 {
		t.Fatal(err)
	}
	if _, err := io.WriteString(v, " and half"); err != nil {
		t.Fatal(err)
	}
	d := digest.FromString("half and half")
	if _, err := v.Commit(d); err != nil {
		t.Fatal(err)
	}
	r, err := second.GetBlob(ctx, "a", d)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if raw, err := io.ReadAll(r); err != nil || string(raw) != "half and half" {
		t.Errorf("%q, %v", raw, err)
	}
}

// TestOneRequestWritesAtATime: what a broken connection still delivers must not
// come between what its successor sends.
func TestOneRequestWritesAtATime(t *testing.T) {
	s := openStore(t)
	ctx := context.Background()
	old, err := s.openUpload(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(old, "12"); err != nil {
		t.Fatal(err)
	}
	next, err := s.resumeUpload(ctx, "a", old.ID())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(old, "late"); !errors.Is(err, errTakenOver) {
		t.Errorf("got %v", err)
	}
	if _, err := old.Commit(digest.FromString("12")); !errors.Is(err, errTakenOver) {
		t.Errorf("got %v", err)
	}
	if _, err := io.WriteString(next, "34"); err != nil {
		t.Fatal(err)
	}
	if _, err := next.Commit(digest.FromString("1234")); err != nil {
		t.Error(err)
	}
}

func TestHashesAreBounded(t *testing.T) {
	var s sessions
	for i := range 3 * maxSessions {
		s.get(fmt.Sprint(i))
	}
	if len(s.byID) > maxSessions {
		t.Errorf("%d sessions", len(s.byID))
	}
}

func TestStaleUploadsAreRemovedAtStart(t *testing.T) {
	s := openStore(t)
	u, err := s.openUpload(context.Background(), "a")
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := s.openUpload(context.Background(), "a")
	if err != nil {
		t.Fatal(err)
	}
	makeOld(t, s.uploadPath(u.id))
	release, err := s.Serving(":1", "registry")
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if _, err := s.resumeUpload(context.Background(), "a", u.id); !errors.Is(err, ociregistry.ErrBlobUploadUnknown) {
		t.Errorf("got %v", err)
	}
	if _, err := s.resumeUpload(context.Background(), "a", fresh.id); err != nil {
		t.Error(err)
	}
}

func makeOld(t *testing.T, paths ...string) {
	t.Helper()
	old := time.Now().Add(-48 * time.Hour)
	for _, path := range paths {
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
}

func TestADirectoryIsServedOnce(t *testing.T) {
	s := openStore(t)
	release, err := s.Serving(":6000", "registry")
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Serving(":6001", "registry")
	if err == nil || !strings.Contains(err.Error(), "serve.lock") || !strings.Contains(err.Error(), ":6000") || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("got %v", err)
	}
	release()
	if _, err = s.Serving(":6002", "cache of x"); err == nil || !strings.Contains(err.Error(), "it is a registry, not a cache of x") {
		t.Errorf("got %v", err)
	}
	if _, err := Open("/dev/null/x"); err == nil || !is[*AccessError](err) {
		t.Errorf("got %v", err)
	}
}

// oldRegistry has an image with a tag, one without, one that was deleted, an
// index, a referrer, and a blob that another repository uses; all are old.
type oldRegistry struct {
	*Store
	client
	tagged, untagged, deleted, index, referrer ocispec.Descriptor
}

func startOld(t *testing.T) *oldRegistry {
	t.Helper()
	o := &oldRegistry{Store: openStore(t)}
	o.client = serve(t, newProtocol(o.Store, o.Store))
	o.untagged, _ = o.image("a", "1", "untagged layer")
	o.tagged, _ = o.image("a", "1", "tagged layer")
	o.deleted, _ = o.image("a", "2", "deleted layer")
	o.want(o.do("DELETE", "/v2/a/manifests/"+o.deleted.Digest.String(), ""), 202, "")
	child, _ := o.image("a", "", "layer of an index")
	index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{child}}
	index.SchemaVersion = 2
	o.index, _ = o.manifest("a", "i", index)
	ref := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: o.blob("a", "referring"), Subject: &o.tagged, Layers: []ocispec.Descriptor{}}
	ref.SchemaVersion = 2
	o.referrer, _ = o.manifest("a", "", ref)
	o.blob("b", "tagged layer") // b does not use it
	o.image("c", "1", "untagged layer")
	o.blob("gone", "alone")
	o.age()
	return o
}

func (o *oldRegistry) age() {
	err := filepath.WalkDir(filepath.Join(o.root, "blobs"), func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			makeOld(o.t, path)
		}
		return err
	})
	if err != nil {
		o.t.Fatal(err)
	}
}

func (o *oldRegistry) collect(opt CollectOptions) (Collected, []Garbage) {
	o.t.Helper()
	var all []Garbage
	opt.Deleted = func(g Garbage) { all = append(all, g) }
	sum, err := o.Collect(context.Background(), opt)
	if err != nil {
		o.t.Fatal(err)
	}
	return sum, all
}

// whole pulls all that the tags of a repository lead to.
func (o *oldRegistry) whole(repo string) {
	o.t.Helper()
	tags, err := o.tags(repo)
	if err != nil {
		o.t.Fatal(err)
	}
	for _, tag := range tags {
		o.pull(repo, tag)
	}
}

func (o *oldRegistry) pull(repo, ref string) {
	o.t.Helper()
	a := o.want(o.do("GET", "/v2/"+repo+"/manifests/"+ref, ""), 200, "")
	doc, err := parseDocument([]byte(a.body))
	if err != nil {
		o.t.Fatal(err)
	}
	for _, b := range doc.blobs() {
		if a := o.do("GET", "/v2/"+repo+"/blobs/"+b.Digest.String(), ""); digest.FromString(a.body) != b.Digest {
			o.t.Errorf("%s:%s: blob %s: %d", repo, ref, b.Digest, a.status)
		}
	}
	for _, m := range doc.Manifests {
		o.pull(repo, m.Digest.String())
	}
}

func TestCollect(t *testing.T) {
	o := startOld(t)
	if sum, all := o.collect(CollectOptions{Grace: 72 * time.Hour}); len(all) != 0 || sum != (Collected{}) {
		t.Errorf("young things were deleted: %v", all)
	}
	planned, plan := o.collect(CollectOptions{Grace: time.Hour, DryRun: true})
	sum, all := o.collect(CollectOptions{Grace: time.Hour})
	if fmt.Sprint(planned, plan) != fmt.Sprint(sum, all) {
		t.Errorf("planned %v %v, done %v %v", planned, plan, sum, all)
	}
	// The deleted manifest, its layer and the blob alone; b's link and that of gone.
	if sum.Blobs != 3 || sum.Manifests != 0 || sum.Unlinked < 3 || sum.Bytes != int64(len("deleted layer")+len("alone"))+o.deleted.Size {
		t.Errorf("%+v %v", sum, all)
	}
	o.whole("a")
	o.whole("c")
	o.pull("a", o.untagged.Digest.String())
	o.pull("a", o.referrer.Digest.String())
	o.want(o.do("GET", "/v2/b/blobs/"+digest.FromString("tagged layer").String(), ""), 404, "NAME_UNKNOWN")
	if names, err := readDir(filepath.Join(o.root, "repositories")); err != nil || strings.Join(names, " ") != "a c" {
		t.Errorf("%v, %v", names, err)
	}
	sum, all = o.collect(CollectOptions{Grace: time.Hour, Untagged: true})
	if sum.Manifests != 1 || all[0].Digest != o.untagged.Digest || sum.Blobs != 0 { // c has the same
		t.Errorf("%+v %v", sum, all)
	}
	o.want(o.do("GET", "/v2/a/manifests/"+o.untagged.Digest.String(), ""), 404, "MANIFEST_UNKNOWN")
	o.whole("a")
	o.whole("c")
	o.pull("a", o.referrer.Digest.String())
}

// TestWhatIsAskedForStays: a client that was told a blob is there may refer to it.
func TestWhatIsAskedForStays(t *testing.T) {
	o := startOld(t)
	o.do("HEAD", "/v2/gone/blobs/"+digest.FromString("alone").String(), "")
	o.do("POST", "/v2/m/blobs/uploads/?from=b&mount="+digest.FromString("deleted layer").String(), "") // is not there
	if sum, all := o.collect(CollectOptions{Grace: time.Hour}); sum.Blobs != 2 {
		t.Errorf("%+v %v", sum, all)
	}
}

func TestTheSecondCollectorSaysWhoRuns(t *testing.T) {
	s := openStore(t)
	release, err := s.claim("gc.run", "registry gc")
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if _, err := s.Collect(context.Background(), CollectOptions{}); err == nil || !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
		t.Errorf("got %v", err)
	}
}

// TestCollectingRacesPushes: images of shared old layers are pushed, retagged
// and deleted while garbage is collected with no grace at all. A push may be
// refused; no tag that is there may lead to something that is not.
func TestCollectingRacesPushes(t *testing.T) {
	o := startOld(t)
	ctx, cancel := context.WithCancel(context.Background())
	var collectors, pushers sync.WaitGroup
	collectors.Go(func() {
		for ctx.Err() == nil {
			if _, err := o.Collect(context.Background(), CollectOptions{Untagged: true}); err != nil {
				t.Error(err)
			}
		}
	})
	for worker := range 4 {
		pushers.Go(func() {
			for i := range 40 {
				o.pushQuietly(fmt.Sprintf("r%d", worker%2), fmt.Sprint("t", i%3), fmt.Sprint("layer ", i%5))
			}
		})
	}
	pushers.Wait()
	cancel()
	collectors.Wait()
	for _, repo := range []string{"a", "c", "r0", "r1"} {
		o.whole(repo)
	}
}

// pushQuietly pushes an image and an index of it, both of which may be refused.
func (o *oldRegistry) pushQuietly(repo, tag, layer string) {
	push := func(content string) ocispec.Descriptor {
		d := digest.FromString(content)
		if a := o.do("HEAD", "/v2/"+repo+"/blobs/"+d.String(), ""); a.status != 200 {
			o.do("POST", "/v2/"+repo+"/blobs/uploads/?digest="+d.String(), content)
		}
		return ocispec.Descriptor{MediaType: octets, Digest: d, Size: int64(len(content))}
	}
	put := func(ref, mediaType, raw string) answer {
		a := o.do("PUT", "/v2/"+repo+"/manifests/"+ref, raw, "Content-Type", mediaType)
		if a.status != 201 && a.code() != "MANIFEST_BLOB_UNKNOWN" {
			o.t.Errorf("%d %s", a.status, a.body)
		}
		return a
	}
	config, blob := push("{}"), push(layer)
	raw := fmt.Sprintf(`{"schemaVersion":2,"config":{"digest":%q,"size":2},"layers":[{"digest":%q,"size":%d}]}`, config.Digest, blob.Digest, blob.Size)
	d := digest.FromString(raw)
	if put(d.String(), ocispec.MediaTypeImageManifest, raw).status == 201 {
		put(tag, ocispec.MediaTypeImageIndex, fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"mediaType":%q,"digest":%q,"size":%d}]}`, ocispec.MediaTypeImageManifest, d, len(raw)))
	}
}
