package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"

	"cuelabs.dev/go/oci/ociregistry"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// page is a part of a list as a request asks for it (distribution-spec,
// "Listing Tags").
type page struct {
	names []string
	next  string // "" if it is the last
}

// readPage takes from a list what n and last ask for; all without n.
func readPage(r *http.Request, list func(after string) iter.Seq2[string, error]) (page, error) {
	query := r.URL.Query()
	limit := -1
	if text := query.Get("n"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 0 {
			return page{}, &statusError{ociregistry.NewError(fmt.Sprintf("n is %q, not a number from 0 on", text), "PAGINATION_NUMBER_INVALID", nil), http.StatusBadRequest}
		}
	}
	p := page{names: []string{}}
	for name, err := range list(query.Get("last")) {
		if err != nil {
			return p, err
		}
		if limit >= 0 && len(p.names) == limit {
			if limit > 0 {
				next := url.Values{"n": {query.Get("n")}, "last": {p.names[limit-1]}}
				p.next = r.URL.Path + "?" + next.Encode()
			}
			break
		}
		p.names = append(p.names, name)
	}
	return p, nil
}

func (p *protocol) catalog(w http.ResponseWriter, r *http.Request) error {
	list, err := readPage(r, func(after string) iter.Seq2[string, error] { return p.backend.Repositories(r.Context(), after) })
	if err != nil {
		return err
	}
	return list.write(w, map[string]any{"repositories": list.names})
}

func (p *protocol) tagList(w http.ResponseWriter, r *http.Request, name string) error {
	list, err := readPage(r, func(after string) iter.Seq2[string, error] { return p.backend.Tags(r.Context(), name, after) })
	if err != nil {
		return err
	}
	return list.write(w, map[string]any{"name": name, "tags": list.names})
}

func (p page) write(w http.ResponseWriter, v any) error {
	if p.next != "" {
		w.Header().Set("Link", "<"+p.next+`>; rel="next"`)
	}
	return writeAnswer(w, "application/json", v)
}

// referrerList answers with an index of the manifests that refer to one
// (distribution-spec, "Listing Referrers"). The reference's tag is the
// repository's name.
func (p *protocol) referrerList(w http.ResponseWriter, r *http.Request, of reference) error {
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{}}
	kind := r.URL.Query().Get("artifactType")
	for desc, err := range p.backend.Referrers(r.Context(), of.tag, of.digest, kind) {
		if err != nil {
			return err
		}
		index.Manifests = append(index.Manifests, desc)
	}
	if kind != "" {
		w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	return writeAnswer(w, ocispec.MediaTypeImageIndex, index)
}

func writeAnswer(w http.ResponseWriter, mediaType string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(raw)))
	_, _ = w.Write(raw) // that the client is gone is no error to tell it
	return nil
}

// writeError answers with an error in the form of the specification ("Error
// Codes").
func writeError(w http.ResponseWriter, r *http.Request, err error) {
	err = explain(r, err)
	raw, status := ociregistry.MarshalError(err)
	if own := new(statusError); errors.As(err, &own) {
		status = own.status
	}
	var offset *offsetError
	if errors.As(err, &offset) {
		w.Header().Set("Range", fmt.Sprintf("0-%d", max(0, offset.have-1)))
	}
	if note, ok := w.(interface{ note(error) }); ok {
		note.note(err)
	}
	for _, name := range []string{"Accept-Ranges", "Content-Range", "Docker-Content-Digest", "Link"} {
		w.Header().Del(name)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(raw)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(raw)
	}
}

// statusError is an error whose status is another than that of its code.
type statusError struct {
	error
	status int
}

func (e *statusError) Unwrap() error { return e.error }

// explain gives errors the code and status of the specification.
func explain(r *http.Request, err error) error {
	var status ociregistry.HTTPError
	var coded ociregistry.Error
	hasStatus, hasCode := errors.As(err, &status), errors.As(err, &coded)
	switch {
	case hasCode && coded.Code() == ociregistry.ErrUnsupported.Code():
		return &statusError{err, http.StatusMethodNotAllowed}
	case strings.Contains(err.Error(), syscall.ENOSPC.Error()): // the library does not wrap it everywhere
		return &statusError{ociregistry.NewError("the registry's disk is full: "+syscall.ENOSPC.Error(), "UNKNOWN", nil), http.StatusInsufficientStorage}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &statusError{ociregistry.NewError("the request broke off", ociregistry.ErrBlobUploadInvalid.Code(), nil), http.StatusBadRequest}
	case hasStatus && !hasCode && status.StatusCode() == http.StatusMethodNotAllowed:
		return &statusError{ociregistry.ErrUnsupported, http.StatusMethodNotAllowed}
	case hasStatus && !hasCode && status.StatusCode() == http.StatusNotFound:
		return unknownPath(r)
	}
	return err
}

// unknownPath is the error for a path that the API does not have.
func unknownPath(r *http.Request) error {
	switch {
	case strings.Contains(r.URL.Path, "/manifests/"):
		return ociregistry.ErrManifestUnknown
	case strings.Contains(r.URL.Path, "/blobs/uploads/"):
		return ociregistry.ErrBlobUploadUnknown
	case strings.Contains(r.URL.Path, "/blobs/"):
		return ociregistry.ErrBlobUnknown
	}
	return ociregistry.ErrNameUnknown
}
