package pusher

import (
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	"oras.land/oras-go/v2/registry"
)

// ParseTarget splits what --push takes, [http://|https://]HOST[:PORT][/PREFIX],
// into host and prefix. A scheme that was written stays in front of the host
// ("http://192.168.1.5:6000"), so that HOST/PREFIX/REPOSITORY:TAG is a
// reference that Push takes.
func ParseTarget(s string) (host, prefix string, err error) {
	scheme, rest := cutScheme(s)
	host, prefix, _ = strings.Cut(strings.TrimRight(rest, "/"), "/")
	ref := registry.Reference{Registry: host, Repository: prefix}
	if err := ref.ValidateRegistry(); host == "" || err != nil {
		return "", "", fmt.Errorf("reading push target %q: %q is no host: write HOST[:PORT][/PREFIX], for example 192.168.1.5:6000/team", s, host)
	}
	if prefix != "" && ref.ValidateRepository() != nil {
		return "", "", fmt.Errorf("reading push target %q: %q cannot stand in front of a repository: write lower-case letters, digits and single separators, for example 192.168.1.5:6000/team", s, prefix)
	}
	return scheme + host, prefix, nil
}

// cutScheme splits off "http://" or "https://".
func cutScheme(s string) (scheme, rest string) {
	for _, scheme := range []string{"http://", "https://"} {
		if rest, ok := strings.CutPrefix(s, scheme); ok {
			return scheme, rest
		}
	}
	return "", s
}

// reference is an image name with its registry.
type reference struct {
	scheme     string // "", "http://" or "https://", as the user wrote it
	host       string
	repository string
	tag        string        // "" with a digest
	digest     digest.Digest // "" with a tag
}

// dockerHub is the name of Docker Hub in image names.
const dockerHub = "docker.io"

// parseRef reads [http://|https://]HOST[:PORT]/REPOSITORY[:TAG|@DIGEST]; the
// tag is "latest" where neither is written.
func parseRef(s string) (reference, error) {
	scheme, rest := cutScheme(s)
	host, _, _ := strings.Cut(rest, "/")
	if !strings.ContainsAny(host, ".:") && host != "localhost" {
		return reference{}, fmt.Errorf("reading image name %q: it names no registry: write HOST[:PORT]/REPOSITORY:TAG", s)
	}
	r, err := registry.ParseReference(rest)
	if err != nil {
		return reference{}, fmt.Errorf("reading image name %q: %w: write HOST[:PORT]/REPOSITORY:TAG with a lower-case repository", s, err)
	}
	out := reference{scheme: scheme, host: r.Registry, repository: r.Repository, tag: r.Reference}
	if out.host == "index.docker.io" {
		out.host = dockerHub
	}
	if out.host == dockerHub && !strings.Contains(out.repository, "/") {
		out.repository = "library/" + out.repository // as docker reads it
	}
	if d, err := r.Digest(); err == nil {
		out.tag, out.digest = "", d
	} else if out.tag == "" {
		out.tag = "latest"
	}
	return out, nil
}

// String is the name as it is pulled: without scheme.
func (r reference) String() string {
	if r.digest != "" {
		return r.host + "/" + r.repository + "@" + r.digest.String()
	}
	return r.host + "/" + r.repository + ":" + r.tag
}

// object is what the reference names in its repository.
func (r reference) object() string {
	if r.digest != "" {
		return r.digest.String()
	}
	return r.tag
}

// place is a repository with the tags that go there.
type place struct {
	reference
	tags []string
}

// places groups references by repository, in the order given.
func places(refs []string) ([]*place, error) {
	var out []*place
	byName := map[string]*place{}
	for _, s := range refs {
		r, err := parseRef(s)
		if err != nil {
			return nil, err
		}
		if r.digest != "" {
			return nil, fmt.Errorf("reading image name %q: a digest cannot be pushed to: write a tag", s)
		}
		key := r.scheme + r.host + "/" + r.repository
		if byName[key] == nil {
			byName[key] = &place{reference: r}
			out = append(out, byName[key])
		}
		byName[key].tags = append(byName[key].tags, r.tag)
	}
	return out, nil
}
