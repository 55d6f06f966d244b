package pusher

import (
	"net/http"
	"strings"
	"testing"
)

// TestStanding: the image that all references name is found, and nothing but
// manifests is asked for.
func TestStanding(t *testing.T) {
	f := startFake(t)
	p := New(quick())
	img, other := testImage(t, "riscv64", "x"), testImage(t, "riscv64", "y")
	at := func(names ...string) []string {
		var refs []string
		for _, n := range names {
			refs = append(refs, "http://"+f.host+"/"+n)
		}
		return refs
	}
	push := func(img Image, names ...string) {
		t.Helper()
		if _, err := p.Push(t.Context(), img, at(names...)); err != nil {
			t.Fatal(err)
		}
	}
	push(img, "a:1", "a:2", "b:1")
	push(other, "a:other")
	if _, err := p.PushIndex(t.Context(), img, at("a:index", "b:index")); err != nil {
		t.Fatal(err)
	}
	f.multi(t, "c", "foreign", "amd64")
	for _, c := range []struct {
		refs  []string
		index bool
		ok    bool
	}{
		{at("a:1"), false, true},
		{at("a:1", "a:2", "b:1"), false, true},
		{at("a:1", "a:other"), false, false},
		{at("a:1", "a:none"), false, false},
		{at("none:1"), false, false},
		{at("a:index"), false, false},
		{at("a:index", "b:index"), true, true},
		{at("a:1"), true, false},
		{at("c:foreign"), true, false},
		{nil, false, false},
	} {
		f.seen()
		got, ok, err := p.Standing(t.Context(), c.refs, c.index)
		if err != nil || ok != c.ok || ok && (got.Digest != img.Desc.Digest || got.Config == "") {
			t.Errorf("%v, index %v: %+v, %v, %v", c.refs, c.index, got, ok, err)
		}
		if asked := f.seen(); strings.Contains(asked, "/blobs/") || strings.Contains(asked, "PUT") || strings.Contains(asked, "POST") {
			t.Errorf("%v: the requests were\n%s", c.refs, asked)
		}
	}
	f.before = func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/manifests/") {
			refuseWith(w, http.StatusForbidden, "DENIED")
			return true
		}
		return false
	}
	if _, ok, err := p.Standing(t.Context(), at("a:1"), false); ok || err == nil || IsNotFound(err) {
		t.Errorf("a registry that refuses gives %v, %v", ok, err)
	}
}
