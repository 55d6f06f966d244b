package pusher

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	orascontent "oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// indexTries is how often an index is made again because somebody else wrote
// the tag meanwhile.
const indexTries = 5

// PushIndex pushes an image and puts it into the index at every reference, as
// the entry for the image's platform; all other entries keep their bytes and
// their order. A tag that holds a single image of another platform gets an
// index of both, a tag that does not exist an index with one entry.
//
// Registries have no way to replace a tag only if it is unchanged, so the tag
// is read again directly before and after it is written: a change is told to
// Notice and merged, unless it falls between two requests that follow each
// other. Result.Digest is that of the image.
func (p *Pusher) PushIndex(ctx context.Context, img Image, refs []string) (Result, error) {
	res := Result{Digest: img.Desc.Digest}
	targets, err := places(refs)
	if err != nil {
		return res, err
	}
	m, err := readManifest(ctx, img)
	if err != nil {
		return res, err
	}
	entry := ocispec.Descriptor{MediaType: img.Desc.MediaType, Digest: img.Desc.Digest, Size: img.Desc.Size}
	var parsed ocispec.Manifest
	if err := json.Unmarshal(m.raw, &parsed); err != nil {
		return res, fmt.Errorf("reading manifest %q: %w: build the image again", img.Desc.Digest, err)
	}
	if entry.Platform = platformOf(img.Provider, parsed.Config); entry.Platform == nil {
		return res, fmt.Errorf("reading image %q: its configuration names no platform: build the image again", img.Desc.Digest)
	}
	for _, t := range targets {
		ep, err := p.endpoint(ctx, t.reference)
		if err != nil {
			return res, err
		}
		u := &upload{p: p, ep: ep, repo: ep.repository(t.repository), place: t, m: m, res: &res}
		ctx := auth.AppendRepositoryScope(ctx, u.repo.Reference, auth.ActionPull, auth.ActionPush)
		if err := u.content(ctx); err != nil {
			return res, err
		}
		for _, tag := range t.tags {
			if err := u.intoIndex(ctx, tag, entry); err != nil {
				return res, err
			}
			r := t.reference
			r.tag = tag
			res.Tags = append(res.Tags, r.String())
		}
	}
	return res, nil
}

// intoIndex makes the tag an index that has the entry. The turn after the one
// that wrote finds nothing to do, or what somebody else made of it.
func (u *upload) intoIndex(ctx context.Context, tag string, entry ocispec.Descriptor) error {
	name := u.place.host + "/" + u.place.repository + ":" + tag
	for try := 0; ; try++ {
		before, err := u.tagged(ctx, tag)
		if err != nil {
			return err
		}
		index, raw, err := u.withEntry(ctx, before, entry)
		if err != nil {
			return fmt.Errorf("adding the image to the index at %q: %w", name, err)
		}
		if index.Digest == before.Digest {
			return nil
		}
		if try == indexTries {
			e := &Error{Op: "adding the image to tag", Registry: u.ep.host, Repository: u.place.repository, Object: tag}
			e.Err, e.Advice = fmt.Errorf("somebody else changed it %d times meanwhile", indexTries), "push again when nobody else pushes to this tag"
			return e
		}
		if try > 0 {
			u.p.notice("%q was changed by somebody else while it was pushed to: the image is added to what is there now", name)
		}
		now, err := u.tagged(ctx, tag)
		if err != nil {
			return err
		}
		if now.Digest != before.Digest {
			continue
		}
		if err := u.repo.Manifests().PushReference(ctx, index, bytes.NewReader(raw), tag); err != nil {
			return u.fail(ctx, "pushing tag", tag, err)
		}
	}
}

// tagged gives what a tag resolves to; an empty descriptor if there is none.
func (u *upload) tagged(ctx context.Context, tag string) (ocispec.Descriptor, error) {
	desc, err := u.repo.Manifests().Resolve(ctx, tag)
	if errors.Is(err, errdef.ErrNotFound) {
		return ocispec.Descriptor{}, nil
	}
	if err != nil {
		return desc, u.fail(ctx, "looking up tag", tag, err)
	}
	return desc, nil
}

// withEntry gives the index that a tag is to have, made from what it has.
func (u *upload) withEntry(ctx context.Context, before, entry ocispec.Descriptor) (desc ocispec.Descriptor, raw []byte, err error) {
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	if before.Digest != "" {
		if raw, err = readRemote(ctx, u.repo.Manifests(), before); err != nil {
			return desc, nil, u.fail(ctx, "reading manifest", before.Digest.String(), err)
		}
	}
	switch {
	case images.IsIndexType(before.MediaType):
		if raw, err = replaceEntry(raw, entry); err != nil {
			return desc, nil, fmt.Errorf("reading the index %q that is there: %w: push to another tag", before.Digest, err)
		}
		return ocispec.Descriptor{MediaType: before.MediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}, raw, nil
	case before.Digest != "" && before.Digest != entry.Digest:
		one, err := u.single(ctx, before, raw)
		if err != nil {
			return desc, nil, err
		}
		if !samePlatform(one.Platform, entry.Platform) {
			index.Manifests = append(index.Manifests, one)
		}
	}
	index.Manifests = append(index.Manifests, entry)
	raw, err = json.Marshal(index)
	return ocispec.Descriptor{MediaType: index.MediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}, raw, err
}

// single gives the entry of an index for the image that a tag holds.
func (u *upload) single(ctx context.Context, desc ocispec.Descriptor, raw []byte) (ocispec.Descriptor, error) {
	one := ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return one, fmt.Errorf("reading the manifest %q that is there: %w: push to another tag", desc.Digest, err)
	}
	if images.IsConfigType(m.Config.MediaType) {
		config, err := readRemote(ctx, u.repo.Blobs(), m.Config)
		if err != nil {
			return one, u.fail(ctx, "reading config", m.Config.Digest.String(), err)
		}
		one.Platform = parsePlatform(config)
	}
	if one.Platform == nil {
		return one, fmt.Errorf("it holds %q, which is no image for a platform: push to another tag", desc.Digest)
	}
	return one, nil
}

// replaceEntry puts an entry into an index in the place of that for its
// platform, or at the end.
func replaceEntry(raw []byte, entry ocispec.Descriptor) ([]byte, error) {
	text, err := json.Marshal(entry)
	if err != nil {
		return nil, err
	}
	same := false
	out, err := editManifests(raw, func(old []json.RawMessage) ([]json.RawMessage, error) {
		var out []json.RawMessage
		done := false
		for _, o := range old {
			var d ocispec.Descriptor
			if err := json.Unmarshal(o, &d); err != nil {
				return nil, err
			}
			switch {
			case !samePlatform(d.Platform, entry.Platform):
				out = append(out, o)
			case !done:
				done, same = true, d.Digest == entry.Digest
				out = append(out, text)
			default:
				same = false // a second one for the platform goes
			}
		}
		if !done {
			out = append(out, text)
		}
		return out, nil
	})
	if same {
		return raw, err
	}
	return out, err
}

// samePlatform leaves a variant of the processor out where one side has none.
func samePlatform(a, b *ocispec.Platform) bool {
	return a != nil && b != nil && a.OS == b.OS && a.Architecture == b.Architecture &&
		(a.Variant == b.Variant || a.Variant == "" || b.Variant == "")
}

// readRemote reads a small blob or manifest of a registry, verified.
func readRemote(ctx context.Context, from source, desc ocispec.Descriptor) ([]byte, error) {
	if desc.Size > manifestLimit {
		return nil, fmt.Errorf("%q has %d bytes, too many for a manifest or config", desc.Digest, desc.Size)
	}
	return orascontent.FetchAll(ctx, from, desc)
}
