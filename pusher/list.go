package pusher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// Repository is a repository of a registry with its tags, sorted. Where it
// could not be read Error says why, and Tags are those that were.
type Repository struct {
	Name  string `json:"name"`
	Tags  []Tag  `json:"tags"`
	Error string `json:"error,omitempty"`
	Err   error  `json:"-"`
}

// Tag is what one tag of a repository holds.
type Tag struct {
	Name      string        `json:"name"`
	Digest    digest.Digest `json:"digest"`
	MediaType string        `json:"media_type"`
	Images    []ImageInfo   `json:"images"` // one, or those of the index; none where the tag holds no image
	Error     string        `json:"error,omitempty"`
}

// ImageInfo is one image as its manifest and configuration describe it.
type ImageInfo struct {
	Platform string        `json:"platform"` // OS/ARCHITECTURE[/VARIANT], or unknown
	Digest   digest.Digest `json:"digest"`   // of the manifest
	Size     int64         `json:"size"`     // bytes of config and layers as they are sent
	Created  *time.Time    `json:"created,omitempty"`

	blobs []ocispec.Descriptor // config and layers
}

// Repositories lists the names of a registry's repositories, sorted, page by
// page (distribution API, "_catalog"). target is as ParseTarget takes it; with a
// prefix only the repositories below it are listed.
func (p *Pusher) Repositories(ctx context.Context, target string) ([]string, error) {
	ep, prefix, err := p.host(ctx, target)
	if err != nil {
		return nil, err
	}
	r := &remote.Registry{RepositoryOptions: remote.RepositoryOptions{
		Client: ep.client, PlainHTTP: ep.plain, Reference: registry.Reference{Registry: ep.host},
	}}
	names := []string{}
	err = r.Repositories(ctx, "", func(page []string) error {
		names = append(names, page...)
		return nil
	})
	if err != nil {
		return nil, ep.fail(ctx, subject{op: "listing repositories"}, err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return prefix != "" && !strings.HasPrefix(name, prefix+"/") })
	slices.Sort(names)
	return slices.Compact(names), nil
}

// List reads the repositories that Repositories gives with their tags, a few at
// a time. One that cannot be read says so in its Err and does not end the list.
func (p *Pusher) List(ctx context.Context, target string) ([]Repository, error) {
	names, err := p.Repositories(ctx, target)
	if err != nil {
		return nil, err
	}
	ep, _, err := p.host(ctx, target)
	if err != nil {
		return nil, err
	}
	all := make([]Repository, len(names))
	var group errgroup.Group
	group.SetLimit(p.opt.Parallel)
	for i, name := range names {
		group.Go(func() error {
			all[i] = ep.list(ctx, name)
			return nil
		})
	}
	_ = group.Wait() // what went wrong is in the repositories
	return all, ctx.Err()
}

// host gives the connection to a registry, and the prefix that follows its name.
func (p *Pusher) host(ctx context.Context, target string) (ep *endpoint, prefix string, err error) {
	host, prefix, err := ParseTarget(target)
	if err != nil {
		return nil, "", err
	}
	scheme, host := cutScheme(host)
	ep, err = p.endpoint(ctx, reference{scheme: scheme, host: host})
	return ep, prefix, err
}

func (ep *endpoint) list(ctx context.Context, name string) Repository {
	r := Repository{Name: name, Tags: []Tag{}}
	repo := ep.repository(name)
	ctx = auth.AppendRepositoryScope(ctx, repo.Reference, auth.ActionPull)
	failed := func(op, object string, err error) {
		if r.Err == nil {
			r.Err = ep.fail(ctx, subject{op, name, object}, err)
			r.Error = r.Err.Error()
		}
	}
	var tags []string
	err := repo.Tags(ctx, "", func(page []string) error {
		tags = append(tags, page...)
		return nil
	})
	if err != nil {
		if failed("listing tags", "", err); IsNotFound(r.Err) {
			r.Error, r.Err = "", nil // a repository without tags is left when all are deleted
		}
		return r
	}
	slices.Sort(tags)
	for _, name := range slices.Compact(tags) {
		tag := Tag{Name: name, Images: []ImageInfo{}}
		desc, err := repo.Manifests().Resolve(ctx, name)
		if err == nil {
			tag.Digest, tag.MediaType = desc.Digest, desc.MediaType
			tag.Images, err = describe(ctx, repo, desc)
		}
		if err != nil {
			failed("reading tag", name, err)
			tag.Error = ep.fail(ctx, subject{"reading tag", r.Name, name}, err).Error()
		}
		r.Tags = append(r.Tags, tag)
	}
	return r
}

// describe reads the image that a manifest is, or those of an index. What is
// no image is left out.
func describe(ctx context.Context, repo *remote.Repository, desc ocispec.Descriptor) ([]ImageInfo, error) {
	all := []ImageInfo{}
	if !isManifest(desc) {
		return all, nil
	}
	raw, err := readRemote(ctx, repo.Manifests(), desc)
	if err != nil {
		return all, err
	}
	var m struct {
		ocispec.Manifest
		Manifests []ocispec.Descriptor
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return all, &localError{fmt.Errorf("reading manifest %q: %w", desc.Digest, err)}
	}
	if images.IsIndexType(desc.MediaType) {
		for _, d := range m.Manifests {
			if d.Platform != nil && d.Platform.OS == "unknown" {
				continue // an attestation
			}
			below, err := describe(ctx, repo, d)
			if err != nil {
				return all, err
			}
			all = append(all, below...)
		}
		return all, nil
	}
	if !images.IsConfigType(m.Config.MediaType) {
		return all, nil
	}
	config, err := readRemote(ctx, repo.Blobs(), m.Config)
	if err != nil {
		return all, err
	}
	info := ImageInfo{Platform: "unknown", Digest: desc.Digest}
	if p := desc.Platform; p != nil {
		info.Platform = platformName(*p)
	}
	info.fill(m.Manifest, config)
	return append(all, info), nil
}

// Platforms asks a registry for which platforms an image is there, as the
// index says, or the configuration of a single image: OS/ARCHITECTURE[/VARIANT],
// sorted. IsNotFound tells an image that is not there from a registry that
// could not be asked.
func (p *Pusher) Platforms(ctx context.Context, ref string) ([]string, error) {
	r, err := parseRef(ref)
	if err != nil {
		return nil, err
	}
	ep, err := p.endpoint(ctx, r)
	if err != nil {
		return nil, err
	}
	repo := ep.repository(r.repository)
	ctx = auth.AppendRepositoryScope(ctx, repo.Reference, auth.ActionPull)
	names, err := platformsOf(ctx, repo, r.object())
	if err != nil {
		return nil, ep.fail(ctx, subject{"looking up", r.repository, r.object()}, err)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

func platformsOf(ctx context.Context, repo *remote.Repository, object string) ([]string, error) {
	desc, err := repo.Manifests().Resolve(ctx, object)
	if err != nil {
		return nil, err
	}
	names := []string{}
	if images.IsIndexType(desc.MediaType) {
		raw, err := readRemote(ctx, repo.Manifests(), desc)
		if err != nil {
			return nil, err
		}
		var index ocispec.Index
		if err := json.Unmarshal(raw, &index); err != nil {
			return nil, &localError{fmt.Errorf("reading index %q: %w", desc.Digest, err)}
		}
		complete := true
		for _, d := range index.Manifests {
			if complete = complete && d.Platform != nil; complete && d.Platform.OS != "unknown" {
				names = append(names, platformName(*d.Platform))
			}
		}
		if complete {
			return names, nil
		}
		names = nil
	}
	all, err := describe(ctx, repo, desc)
	for _, i := range all {
		names = append(names, i.Platform)
	}
	return names, err
}

// Unreachable says whether a registry gave no answer at all.
func Unreachable(err error) bool {
	var e *Error
	var status statusError
	return errors.As(err, &e) && !IsNotFound(err) && !errors.As(e.Err, &status) && !errors.Is(e.Err, errNoAccount)
}

// Riscv64 says whether a list of platforms has linux/riscv64.
func Riscv64(platforms []string) bool {
	return slices.ContainsFunc(platforms, func(p string) bool {
		return p == DefaultPlatform || strings.HasPrefix(p, DefaultPlatform+"/")
	})
}
