package registry

import (
	"encoding/json"
	"fmt"
	"mime"

	"cuelabs.dev/go/oci/ociregistry"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxManifest is the size of the largest manifest that is taken, in bytes: the
// least that a registry must take (distribution-spec, "Pushing manifests").
const maxManifest = 4 << 20

// The manifests that are taken: those of the OCI image-spec, and the version 2
// ones of Docker, whose fields are the same.
const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// document is what a registry must know of a manifest or an index.
type document struct {
	SchemaVersion int                  `json:"schemaVersion"`
	MediaType     string               `json:"mediaType"`
	ArtifactType  string               `json:"artifactType"`
	Config        *ocispec.Descriptor  `json:"config"`
	Layers        []ocispec.Descriptor `json:"layers"`
	Manifests     []ocispec.Descriptor `json:"manifests"`
	Subject       *ocispec.Descriptor  `json:"subject"`
	Annotations   map[string]string    `json:"annotations"`
	Signatures    json.RawMessage      `json:"fsLayers"` // Docker's version 1, in another's clothes
}

func invalid(format string, args ...any) error {
	return ociregistry.NewError(fmt.Sprintf(format, args...), ociregistry.ErrManifestInvalid.Code(), nil)
}

// readDocument reads a manifest that came with a Content-Type, and gives its
// media type. What could be read as two different things is refused.
func readDocument(contentType string, raw []byte) (*document, string, error) {
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, "", invalid("Content-Type %q is no media type: send that of the manifest", contentType)
	}
	var isIndex bool
	switch mediaType {
	case ocispec.MediaTypeImageManifest, dockerManifest:
	case ocispec.MediaTypeImageIndex, dockerList:
		isIndex = true
	default:
		return nil, "", invalid("Content-Type %q is no manifest that is known here: send an OCI or Docker version 2 manifest or index", mediaType)
	}
	doc, err := parseDocument(raw)
	if err != nil {
		return nil, "", err
	}
	switch {
	case doc.MediaType != "" && doc.MediaType != mediaType:
		return nil, "", invalid("the manifest says it is %q, its Content-Type %q", doc.MediaType, mediaType)
	case doc.MediaType == "" && (mediaType == dockerManifest || mediaType == dockerList):
		return nil, "", invalid("the manifest has no mediaType, which %q must have", mediaType)
	case isIndex && (doc.Config != nil || doc.Layers != nil), !isIndex && doc.Manifests != nil, doc.Signatures != nil:
		return nil, "", invalid("the manifest has fields of another type than %q", mediaType)
	case !isIndex && doc.Config == nil:
		return nil, "", invalid("the manifest has no config")
	}
	return doc, mediaType, nil
}

// parseDocument reads a manifest's JSON and holds that every digest in it is one.
func parseDocument(raw []byte) (*document, error) {
	doc := new(document)
	if err := json.Unmarshal(raw, doc); err != nil {
		return nil, invalid("reading the manifest: %v", err)
	}
	if doc.SchemaVersion != 2 {
		return nil, invalid("schemaVersion is %d: only 2 is taken", doc.SchemaVersion)
	}
	for _, d := range doc.all() {
		if checkDigest(d.Digest) != nil {
			return nil, invalid("the manifest names digest %q, which is none", d.Digest)
		}
		if d.Size < 0 {
			return nil, invalid("the manifest gives %q a size of %d", d.Digest, d.Size)
		}
	}
	return doc, nil
}

// all are the descriptors in a manifest.
func (d *document) all() []ocispec.Descriptor {
	all := append(d.blobs(), d.Manifests...)
	if d.Subject != nil {
		all = append(all, *d.Subject)
	}
	return all
}

// blobs are the config and the layers, those too that a registry need not have.
func (d *document) blobs() []ocispec.Descriptor {
	var all []ocispec.Descriptor
	if d.Config != nil {
		all = append(all, *d.Config)
	}
	return append(all, d.Layers...)
}

// needed is what a repository must have before it has the manifest.
type needed struct {
	ocispec.Descriptor
	entry bool // of an index
}

func (d *document) needed() []needed {
	var all []needed
	for _, b := range d.blobs() {
		if len(b.URLs) == 0 {
			all = append(all, needed{b, false})
		}
	}
	for _, m := range d.Manifests {
		all = append(all, needed{m, true})
	}
	return all
}

// descriptor describes a manifest as a list of referrers does
// (distribution-spec, "Listing Referrers").
func (d *document) descriptor(desc ocispec.Descriptor) ocispec.Descriptor {
	desc.ArtifactType, desc.Annotations = d.ArtifactType, d.Annotations
	if desc.ArtifactType == "" && d.Config != nil {
		desc.ArtifactType = d.Config.MediaType
	}
	return desc
}

// reference is what a request names a manifest by: one of both.
type reference struct {
	tag    string
	digest digest.Digest
}

func (r reference) String() string {
	if r.tag != "" {
		return r.tag
	}
	return r.digest.String()
}
