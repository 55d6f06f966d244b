package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	names "github.com/distribution/reference"
	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/pusher/imagerefs"
)

// k3sSystemImages are what a K3s of version 1.34 or 1.35 starts: names stay from
// release to release, tags move.
const k3sSystemImages = `
docker.io/rancher/klipper-helm:v0.9.12
docker.io/rancher/klipper-lb:v0.4.13
docker.io/rancher/local-path-provisioner:v0.0.32
docker.io/rancher/mirrored-coredns-coredns:1.13.1
docker.io/rancher/mirrored-library-busybox:1.37.0
docker.io/rancher/mirrored-library-traefik:3.5.1
docker.io/rancher/mirrored-metrics-server:v0.8.0
docker.io/rancher/mirrored-pause:3.6
`

// k3sReleases is where K3s publishes its releases, each with the list of its images.
var k3sReleases = "https://github.com/k3s-io/k3s/releases/download"

// listLimit is more than any list of images has.
const listLimit = 1 << 20

// k3sImage is an image that K3s asks for.
type k3sImage struct {
	named names.Named
	full  string // docker.io/rancher/mirrored-pause:3.6
	short string // pause
}

// is tells whether a person may have meant the image: its name in full or a
// part of it that ends it, with or without the tag.
func (i k3sImage) is(name string) bool {
	path := names.Path(i.named)
	base := path[strings.LastIndex(path, "/")+1:]
	for _, known := range []string{i.named.Name(), path, base, i.short} {
		if name == known || name == known+strings.TrimPrefix(i.full, i.named.Name()) {
			return true
		}
	}
	return false
}

// networkError is a server that could not be reached or refused.
type networkError struct{ error }

func (networkError) ExitCode() int { return exitNetwork }

// readK3sList gives K3s's system images: of a file, of a release, or the
// built-in ones.
func readK3sList(c *cli.Context) ([]k3sImage, error) {
	from, version := c.String("list"), c.String("release")
	if from != "" && version != "" {
		return nil, usagef("reading --release %q: --list says which images there are: leave one of the two out", version)
	}
	var text []byte
	var err error
	switch {
	case from == "-":
		text, err = io.ReadAll(io.LimitReader(c.App.Reader, listLimit))
	case from != "":
		text, err = os.ReadFile(from)
	case version != "":
		from = "the images of K3s " + version
		text, err = releasedList(c.Context, version)
	default:
		from, text = "the built-in list", []byte(k3sSystemImages)
	}
	var net networkError
	if errors.As(err, &net) {
		return nil, err
	}
	if err != nil {
		return nil, usagef("reading --list %q: %w: name a file with an image a line", from, err)
	}
	return parseK3sList(from, string(text))
}

// releasedList asks K3s's release page for the images of a version.
func releasedList(ctx context.Context, version string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	at := k3sReleases + "/" + url.PathEscape(version) + "/k3s-images.txt"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.ReplaceAll(at, "+", "%2B"), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "riscv-build/"+programVersion())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, networkError{fmt.Errorf("asking for the images of K3s %q: %w: fetch k3s-images.txt of the release elsewhere and name it with --list", version, err)}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, networkError{fmt.Errorf("asking for the images of K3s %q: %s answers %s: name a release such as v1.35.0+k3s1, or a list with --list", version, at, resp.Status)}
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, listLimit))
	if err != nil {
		return nil, networkError{fmt.Errorf("reading the images of K3s %q: %w: try again, or name a list with --list", version, err)}
	}
	return text, nil
}

// parseK3sList reads a list: an image a line; # begins a remark.
func parseK3sList(from, text string) ([]k3sImage, error) {
	var list []k3sImage
	var problems []error
	n := 0
	for line := range strings.Lines(text) {
		n++
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		image, err := newK3sImage(line)
		if err != nil {
			problems = append(problems, fmt.Errorf("reading %q, line %d, %q: %w: write HOST/REPOSITORY:TAG", from, n, line, err))
			continue
		}
		if !slices.ContainsFunc(list, func(i k3sImage) bool { return i.full == image.full }) {
			list = append(list, image)
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, usageError{err}
	}
	if len(list) == 0 {
		return nil, usagef("reading %q: it names no image: name a list with an image a line", from)
	}
	return list, nil
}

func newK3sImage(name string) (k3sImage, error) {
	full, err := imagerefs.Normal(name)
	if err != nil {
		return k3sImage{}, err
	}
	named, err := names.ParseNormalizedNamed(full)
	if err != nil {
		return k3sImage{}, err
	}
	if _, ok := named.(names.NamedTagged); !ok {
		return k3sImage{}, errors.New("it has no tag")
	}
	short, _ := libraryName(names.Path(named))
	return k3sImage{named: named, full: full, short: short}, nil
}
