package pusher

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// Removed is what a Remove did, or would do.
type Removed struct {
	Ref      string        `json:"ref"`
	Digest   digest.Digest `json:"digest"`
	Manifest bool          `json:"manifest"` // the manifest went, not a tag only
	Tags     []string      `json:"tags"`     // that went, sorted
}

// Remove deletes a tag, or with a digest a manifest and all its tags. A
// registry that cannot delete a single tag (before version 3 of distribution)
// loses the manifest, but only if no other tag names it. Layers stay until the
// registry's garbage collection. With dry nothing is deleted.
func (p *Pusher) Remove(ctx context.Context, ref string, dry bool) (Removed, error) {
	done := Removed{Ref: ref, Tags: []string{}}
	r, err := parseRef(ref)
	if err != nil {
		return done, err
	}
	ep, err := p.endpoint(ctx, r)
	if err != nil {
		return done, err
	}
	d := &removal{ep: ep, ref: r}
	repo := ep.repository(r.repository)
	ctx = auth.AppendRepositoryScope(ctx, repo.Reference, auth.ActionPull, auth.ActionDelete)
	desc, err := repo.Manifests().Resolve(ctx, r.object())
	if err != nil {
		return done, ep.fail(ctx, subject{"looking up", r.repository, r.object()}, err)
	}
	done.Digest = desc.Digest
	if r.digest == "" {
		done.Tags = []string{r.tag}
		if dry {
			return done, nil
		}
		if err := d.tag(ctx); err == nil || !tagsUnsupported(err) {
			return done, d.fail(ctx, err)
		}
	}
	done.Manifest = true
	if done.Tags, err = d.sameTags(ctx, desc.Digest); err != nil || dry {
		return done, err
	}
	if r.digest == "" && len(done.Tags) > 1 {
		return done, fmt.Errorf("deleting tag %q: the registry deletes no single tags, and %q name the same image: delete it with all its tags as %s/%s@%s",
			r, done.Tags, r.host, r.repository, desc.Digest)
	}
	repo.SkipReferrersGC = true
	return done, d.fail(ctx, repo.Manifests().Delete(ctx, ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}))
}

// removal is the deletion of one reference.
type removal struct {
	ep  *endpoint
	ref reference
}

// sameTags lists the tags that resolve to the digest.
func (d *removal) sameTags(ctx context.Context, dgst digest.Digest) ([]string, error) {
	repo := d.ep.repository(d.ref.repository)
	same := []string{}
	err := repo.Tags(ctx, "", func(page []string) error {
		for _, tag := range page {
			desc, err := repo.Manifests().Resolve(ctx, tag)
			if err != nil && !errors.Is(err, errdef.ErrNotFound) {
				return err
			}
			if err == nil && desc.Digest == dgst {
				same = append(same, tag)
			}
		}
		return nil
	})
	if err != nil {
		return nil, d.ep.fail(ctx, subject{"listing tags", d.ref.repository, ""}, err)
	}
	slices.Sort(same)
	return same, nil
}

// tag deletes a tag only (distribution-spec 1.1, "Deleting tags").
func (d *removal) tag(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, d.ep.url(d.ref.repository, "manifests/"+d.ref.tag).String(), nil)
	if err != nil {
		return err
	}
	resp, err := exchange(d.ep.client, req)
	if err != nil {
		return err
	}
	if resp.StatusCode == http.StatusAccepted {
		return nil
	}
	return refusal(resp)
}

// tagsUnsupported says whether a registry has no way to delete a single tag.
// Where deletes are switched off altogether the manifest is refused as well.
func tagsUnsupported(err error) bool {
	var resp *errcode.ErrorResponse
	if !errors.As(err, &resp) {
		return false
	}
	switch resp.StatusCode {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed:
		return true
	}
	return false
}

// fail says of a registry that takes no deletes how it is made to.
func (d *removal) fail(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	failed := d.ep.fail(ctx, subject{"deleting", d.ref.repository, d.ref.object()}, err)
	var e *Error
	var resp *errcode.ErrorResponse
	if errors.As(failed, &e) && errors.As(err, &resp) && resp.StatusCode == http.StatusMethodNotAllowed {
		e.Advice = "deletes are switched off there: for registry:2 set REGISTRY_STORAGE_DELETE_ENABLED=true, and a cache takes none"
	}
	return failed
}
