package pusher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

const digestHeader = "Docker-Content-Digest"

// url is a place of a repository's interface.
func (ep *endpoint) url(repository, path string) *url.URL {
	scheme := "https"
	if ep.plain {
		scheme = "http"
	}
	at := registry.Reference{Registry: ep.host} // which knows where Docker Hub is
	return &url.URL{Scheme: scheme, Host: at.Host(), Path: "/v2/" + repository + "/" + path}
}

// exists asks whether the repository has a blob.
func (u *upload) exists(ctx context.Context, desc ocispec.Descriptor) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, u.ep.url(u.place.repository, "blobs/"+desc.Digest.String()).String(), nil)
	if err != nil {
		return false, err
	}
	resp, err := exchange(u.ep.client, req)
	if err != nil {
		return false, err
	}
	switch resp.StatusCode {
	case http.StatusOK:
		// What contradicts itself is not believed: the blob is sent.
		return resp.ContentLength == desc.Size && confirmed(resp, desc.Digest) == nil, nil
	case http.StatusNotFound:
		return false, nil
	}
	return false, refusal(resp)
}

// confirmed compares the digest that the registry says it has.
func confirmed(resp *http.Response, want digest.Digest) error {
	if got := resp.Header.Get(digestHeader); got != "" && got != want.String() {
		return fmt.Errorf("%s %s: the registry says that it has %q", resp.Request.Method, resp.Request.URL.Path, got)
	}
	return nil
}

// errorLimit is how much, in bytes, is read of an answer that is no content.
const errorLimit = 64 << 10

// exchange sends a request whose answer has no content of use but errors, and
// reads that.
func exchange(client remote.Client, req *http.Request) (*http.Response, error) {
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, errorLimit))
	err = errors.Join(err, resp.Body.Close())
	if err != nil && resp.StatusCode >= 300 {
		err = nil // the status says enough
	}
	resp.Body = io.NopCloser(strings.NewReader(string(raw)))
	return resp, err
}

// refusal is the error of an answer with an unwanted status (distribution
// specification 1.1, "Error Codes").
func refusal(resp *http.Response) error {
	said := &errcode.ErrorResponse{Method: resp.Request.Method, URL: resp.Request.URL, StatusCode: resp.StatusCode}
	var body struct{ Errors errcode.Errors }
	if json.NewDecoder(io.LimitReader(resp.Body, errorLimit)).Decode(&body) == nil {
		said.Errors = body.Errors
	}
	return said
}

func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "http":
		return "80"
	}
	return "443"
}
