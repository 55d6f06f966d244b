package registry

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"cuelabs.dev/go/oci/ociregistry"
	"cuelabs.dev/go/oci/ociregistry/ociserver"
	"github.com/opencontainers/go-digest"
)

// protocol answers requests of the distribution API. The library's server does
// it, but for what it does otherwise than clients and the specification expect:
//
//   - manifests: it reads them whatever their size, knows SHA-256 only and
//     takes any Content-Type;
//   - uploads: it takes a chunk without Content-Range for one at the beginning,
//     where docker, containerd and skopeo mean the end, refuses one of one
//     byte, and cannot cancel;
//   - mounts: it answers that a blob is unknown where clients expect a session
//     to send it in;
//   - ranges: it does not know those from the end;
//   - lists: an empty one is null, without a media type, n=0 is all, and HEAD is none.
type protocol struct {
	store   *Store
	backend ociregistry.Interface // reads; the store, or a cache over it
	library http.Handler
}

func newProtocol(store *Store, backend ociregistry.Interface) *protocol {
	return &protocol{store: store, backend: backend, library: ociserver.New(backend, &ociserver.Options{WriteError: writeError})}
}

// route splits the paths of the API whose requests are not the library's.
var route = regexp.MustCompile(`^/v2/(?:(_catalog)|(.+)/(manifests|blobs/uploads|tags|referrers|blobs)/([^/]*))$`)

// ServeHTTP answers a request below /v2/.
func (p *protocol) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	parts := route.FindStringSubmatch(r.URL.Path)
	if parts == nil {
		p.library.ServeHTTP(w, r)
		return
	}
	name, last := parts[2], parts[4]
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	var err error
	switch kind := parts[1] + parts[3]; {
	case kind == "_catalog" && reads:
		err = p.catalog(w, r)
	case kind == "tags" && last == "list" && reads:
		err = p.tagList(w, r, name)
	case kind == "referrers" && reads:
		err = p.referrerList(w, r, reference{tag: name, digest: digest.Digest(last)})
	case kind == "manifests" && last == "": // at which the library panics
		err = ociregistry.ErrManifestUnknown
	case kind == "manifests" && r.Method == http.MethodPut:
		err = p.putManifest(w, r, name, last)
	case kind == "blobs/uploads" && r.Method == http.MethodDelete:
		err = p.cancel(w, name, last)
	case kind == "blobs/uploads":
		if r, err = p.upload(r, name); err == nil {
			p.library.ServeHTTP(w, r)
		}
	case kind == "blobs" && reads:
		w.Header().Set("Accept-Ranges", "bytes")
		w.Header().Set("Content-Type", octets)
		p.library.ServeHTTP(w, p.fromStart(r, name, digest.Digest(last)))
	default:
		p.library.ServeHTTP(w, r)
	}
	if err != nil {
		writeError(w, r, err)
	}
}

// putManifest takes a manifest (distribution-spec, "Pushing manifests"). One
// that is named by its digest may have tags as parameters: so will version 1.2
// of the specification tag what is not named by SHA-256.
func (p *protocol) putManifest(w http.ResponseWriter, r *http.Request, name, last string) error {
	if err := checkName(name); err != nil {
		return err
	}
	in := pushed{contentType: r.Header.Get("Content-Type")}
	switch d := digest.Digest(last); {
	case isTag(last):
		in.tags = []string{last}
	case d.Validate() == nil:
		in.digest, in.tags = d, r.URL.Query()["tag"]
	default:
		return invalid("%q is neither a tag nor a digest", last)
	}
	if slices.ContainsFunc(in.tags, func(tag string) bool { return !isTag(tag) }) {
		return invalid("the tags %q are not all tags", in.tags)
	}
	var err error
	if in.raw, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxManifest)); err != nil {
		if is[*http.MaxBytesError](err) {
			return &statusError{invalid("the manifest is larger than %d bytes", maxManifest), http.StatusRequestEntityTooLarge}
		}
		return err
	}
	desc, subject, err := p.store.PutManifest(r.Context(), name, in)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/v2/"+name+"/manifests/"+desc.Digest.String())
	w.Header().Set("Docker-Content-Digest", desc.Digest.String())
	if in.digest != "" {
		w.Header()["OCI-Tag"] = in.tags
	}
	if subject != nil {
		w.Header().Set("OCI-Subject", subject.Digest.String())
	}
	w.WriteHeader(http.StatusCreated)
	return nil
}

// fromStart gives a request for the last bytes of a blob as one for bytes from
// an offset.
func (p *protocol) fromStart(r *http.Request, name string, d digest.Digest) *http.Request {
	text, isEnd := strings.CutPrefix(r.Header.Get("Range"), "bytes=-")
	n, err := strconv.ParseInt(text, 10, 64)
	if !isEnd || err != nil || n <= 0 {
		return r
	}
	desc, err := p.backend.ResolveBlob(r.Context(), name, d)
	if err != nil {
		return r // the library will meet the same error
	}
	r = r.Clone(r.Context())
	r.Header.Set("Range", fmt.Sprintf("bytes=%d-", max(0, desc.Size-n)))
	return r
}

// contentRange is how a chunk says where it belongs: both ends are included
// (distribution-spec, "Pushing a blob in chunks").
var contentRange = regexp.MustCompile(`^(?:bytes[ =])?([0-9]{1,18})-([0-9]{1,18})(?:/[0-9*]+)?$`)

// upload prepares a request of an upload for the library.
func (p *protocol) upload(r *http.Request, name string) (*http.Request, error) {
	query := r.URL.Query()
	want := expected{offset: -1}
	if d, err := digest.Parse(query.Get("digest")); err == nil {
		want.algorithm = d.Algorithm()
	}
	if h := r.Header.Get("Content-Range"); h != "" && (r.Method == http.MethodPatch || r.Method == http.MethodPut) {
		m := contentRange.FindStringSubmatch(h)
		if m == nil {
			return r, ociregistry.NewError("Content-Range "+strconv.Quote(h)+" is no FIRST-LAST", ociregistry.ErrBlobUploadInvalid.Code(), nil)
		}
		first, _ := strconv.ParseInt(m[1], 10, 64)
		lastByte, _ := strconv.ParseInt(m[2], 10, 64)
		if r.ContentLength > 0 && r.ContentLength != lastByte-first+1 {
			return r, ociregistry.NewError("Content-Range and Content-Length differ", ociregistry.ErrSizeInvalid.Code(), nil)
		}
		want.offset = first
	}
	r = r.Clone(expecting(r.Context(), want))
	r.Header.Del("Content-Range")
	if from := query.Get("from"); r.Method == http.MethodPost && query.Get("mount") != "" &&
		!p.mountable(r.Context(), from, digest.Digest(query.Get("mount"))) {
		r.URL = &url.URL{Path: "/v2/" + name + "/blobs/uploads/"}
	}
	return r, nil
}

// mountable says whether another repository has a blob. One that it does not
// have is to be sent.
func (p *protocol) mountable(ctx context.Context, from string, d digest.Digest) bool {
	_, err := p.store.ResolveBlob(ctx, from, d)
	return err == nil
}

// cancel ends an upload (Docker Registry HTTP API V2, "Canceling an Upload").
func (p *protocol) cancel(w http.ResponseWriter, name, last string) error {
	id, err := base64.RawURLEncoding.DecodeString(last) // as the library writes it
	if err != nil {
		return ociregistry.ErrBlobUploadUnknown
	}
	u, err := p.store.resumeUpload(context.Background(), name, string(id))
	if err == nil {
		err = u.Cancel()
	}
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
	}
	return err
}

// is tells whether an error of type T is among the causes.
func is[T error](err error) bool {
	var target T
	return errors.As(err, &target)
}
