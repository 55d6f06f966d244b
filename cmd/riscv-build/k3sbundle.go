package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	names "github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/builder/check"
	"github.com/riscv-build/riscv-build/pusher"
)

// bundleName is what K3s calls such an archive, and bundleHome where it imports
// it from when it starts.
const (
	bundleName = "k3s-airgap-images-riscv64.tar.zst"
	bundleHome = "/var/lib/rancher/k3s/agent/images/"
)

func k3sBundleCommand() *cli.Command {
	return &cli.Command{
		Name: "bundle", Usage: "write K3s's system images into an archive that K3s imports when it starts",
		Description: "Each is taken from where --map says, else from the state directory if a recipe built it, else from the private\n" +
			"registry, and gets the name that K3s asks for. One that is not for riscv64 is refused.",
		Flags: flags(stateFlags(), k3sListFlags(), progressFlags(), []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: bundleName, Usage: "write to `FILE`, which ends in .tar.zst, .tar.gz or .tar"},
			registryFlag(),
			&cli.StringSliceFlag{Name: "only", Usage: "bundle the image `NAME`, such as pause, and no other (may be repeated)"},
			&cli.StringSliceFlag{Name: "map", Usage: "take an image from elsewhere: `NAME=REF`, an image of a registry, an OCI layout or an archive (may be repeated)"},
			jsonFlag(),
		}),
		Action: k3sBundle,
	}
}

// bundled is an image of a bundle.
type bundled struct {
	Name   string        `json:"name"` // as K3s asks for it
	Source string        `json:"source"`
	Digest digest.Digest `json:"digest"`
	Size   int64         `json:"bytes"` // of all its blobs
	// Instead says which version stands in for the one that K3s names.
	Instead string `json:"instead,omitempty"`
	image   pusher.Image
}

// absent is an image that a bundle lacks.
type absent struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
	Do     string `json:"do"`
}

// bundleReport is what --json prints of a bundle.
type bundleReport struct {
	Output  string    `json:"output"`
	Size    int64     `json:"bytes"`
	Images  []bundled `json:"images"`
	Missing []absent  `json:"missing"`
}

// bundler gathers the images of one bundle.
type bundler struct {
	session  *session
	asker    *asker
	mapped   map[string]string // full name to where it is
	finished []builder.Finished
	opened   []func() error // to be closed when all is written
}

func k3sBundle(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	if err := pusher.CheckBundle(c.String("output")); err != nil {
		return usageError{err}
	}
	all, err := readK3sList(c)
	if err != nil {
		return err
	}
	list, err := chosen(all, c.StringSlice("only"))
	if err != nil {
		return err
	}
	mapped, err := readMap(c.StringSlice("map"), list)
	if err != nil {
		return err
	}
	return with(c, func(s *session) (err error) {
		b := &bundler{session: s, mapped: mapped}
		defer func() { err = errors.Join(err, b.close()) }()
		if b.asker, err = newAsker(s.place, c.String("registry")); err != nil {
			return err
		}
		if b.finished, err = s.builder.Finished(c.Context); err != nil {
			return err
		}
		report, err := b.gather(c.Context, list)
		if err != nil {
			return err
		}
		report.Output = c.String("output")
		return b.write(c, report)
	})
}

// readMap reads the values of --map.
func readMap(values []string, list []k3sImage) (map[string]string, error) {
	mapped := map[string]string{}
	for _, v := range values {
		name, at, ok := strings.Cut(v, "=")
		if !ok || at == "" {
			return nil, usagef("reading --map %q: write NAME=REF, such as pause=192.168.1.5:6000/riscv64/pause:3.6", v)
		}
		i := slices.IndexFunc(list, func(i k3sImage) bool { return i.is(name) })
		if i < 0 {
			return nil, usagef("reading --map %q: no image %q is bundled: use one of %s", v, name, k3sNames(list))
		}
		mapped[list[i].full] = at
	}
	return mapped, nil
}

// gather finds the images of a list, brings them and looks at them.
func (b *bundler) gather(ctx context.Context, list []k3sImage) (*bundleReport, error) {
	report := &bundleReport{Images: []bundled{}, Missing: []absent{}}
	for _, i := range list {
		image, missing, err := b.find(ctx, i)
		if err != nil {
			return nil, fmt.Errorf("bundling %q: %w", i.full, err)
		}
		if missing != nil {
			report.Missing = append(report.Missing, *missing)
			continue
		}
		image.Name = i.full
		if err := image.judge(ctx); err != nil {
			return nil, fmt.Errorf("bundling %q: %s: %w", i.full, image.Source, err)
		}
		report.Images = append(report.Images, *image)
	}
	b.session.display.Flush()
	for _, i := range report.Images {
		if i.Instead != "" {
			b.session.display.Notice("WARNING: %s is version %s, the one that is built here: for another, name it with --map", i.Name, i.Instead)
		}
	}
	for _, m := range report.Missing {
		b.session.display.Notice("WARNING: %s is missing: %s: %s", m.Name, m.Reason, m.Do)
	}
	if len(report.Images) == 0 {
		return nil, fmt.Errorf("bundling images for K3s: none of %d was found: build one (`riscv-build pause`), or name a registry that has them (--registry HOST:PORT)", len(list))
	}
	return report, nil
}

// find opens an image at the first place that has it; missing says that none has.
func (b *bundler) find(ctx context.Context, i k3sImage) (found *bundled, missing *absent, err error) {
	if at, ok := b.mapped[i.full]; ok {
		found, err = b.open(ctx, at)
		return found, nil, err
	}
	exact, other := built(b.finished, i)
	if exact != nil {
		return b.finishedImage(*exact), nil, nil
	}
	got := b.asker.private(ctx, i.named)
	switch got.State {
	case stateYes:
		found, err = b.open(ctx, b.asker.target+strings.TrimPrefix(got.Found, b.asker.host))
		return found, nil, err
	case stateUnknown:
		return nil, nil, networkError{errors.New(got.Reason)}
	}
	if other != nil {
		found = b.finishedImage(*other)
		found.Instead = other.Version
		return found, nil, nil
	}
	return nil, b.absent(i, got), nil
}

func (b *bundler) finishedImage(f builder.Finished) *bundled {
	return &bundled{Source: "state directory, " + f.Name + " " + f.Version, image: b.session.builder.Image(f)}
}

// built finds the image of a recipe that stands for one of K3s's; where its
// version is not there, the last of another one. K3s moves its versions with
// every release, and without the image its part of the cluster does not start.
func built(all []builder.Finished, i k3sImage) (exact, other *builder.Finished) {
	tag := i.named.(names.NamedTagged).Tag() // newK3sImage wants one
	for at := range all {
		f := &all[at]
		switch {
		case f.Name != i.short:
		case f.Version == strings.TrimPrefix(tag, "v") || slices.Contains(f.Tags, tag):
			return f, nil
		default:
			other = f
		}
	}
	return nil, other
}

func (b *bundler) open(ctx context.Context, at string) (*bundled, error) {
	image, done, err := openImage(ctx, b.session.place, at)
	if err != nil {
		return nil, err
	}
	b.opened = append(b.opened, done)
	return &bundled{Source: at, image: image}, nil
}

// absent says why an image is not there, and what makes it.
func (b *bundler) absent(i k3sImage, got answer) *absent {
	m := &absent{Name: i.full, Reason: "the state directory does not have it"}
	to := "HOST:PORT"
	if got.State == stateNo {
		m.Reason += ", and " + b.asker.host + " neither"
		if got.Found != "" {
			m.Reason = got.Found + ": " + got.Reason
		}
		to = b.asker.place()
	}
	if inCatalogue(i.named).State == stateYes {
		m.Do = "build it first: `riscv-build " + i.short + "`"
		return m
	}
	m.Do = fmt.Sprintf("`riscv-build copy %s %s/%s` if it is there for riscv64, else build it and name it with --map %s=REF",
		i.full, to, strings.TrimPrefix(i.full, names.Domain(i.named)+"/"), i.short)
	return m
}

// judge refuses an image that is not for riscv64, by its configuration or by
// its programs, and completes what is known of it.
func (i *bundled) judge(ctx context.Context) error {
	contents, err := check.Load(ctx, i.image.Provider, i.image.Desc, nil)
	if err != nil {
		return err
	}
	if p := contents.Config.OS + "/" + contents.Config.Architecture; p != pusher.DefaultPlatform {
		return fmt.Errorf("its configuration says %s: take an image for %s", p, pusher.DefaultPlatform)
	}
	if files := foreignFiles(contents, "riscv64"); files != "" {
		return fmt.Errorf("%s: take an image that is built for riscv64", files)
	}
	i.Digest, i.Size = i.image.Desc.Digest, i.image.Desc.Size+contents.Manifest.Config.Size
	for _, l := range contents.Manifest.Layers {
		i.Size += l.Size
	}
	return nil
}

// write writes the archive and says what went in.
func (b *bundler) write(c *cli.Context, report *bundleReport) error {
	var all []pusher.Named
	for _, i := range report.Images {
		at := slices.IndexFunc(all, func(n pusher.Named) bool { return n.Desc.Digest == i.Digest })
		if at < 0 {
			at, all = len(all), append(all, pusher.Named{Image: i.image})
		}
		all[at].Names = append(all[at].Names, i.Name)
	}
	if err := pusher.WriteBundle(c.Context, all, report.Output); err != nil {
		return err
	}
	fi, err := os.Stat(report.Output)
	if err != nil {
		return fmt.Errorf("reading %q: %w: write it again", report.Output, err)
	}
	report.Size = fi.Size()
	if c.Bool("json") {
		writeJSON(c.App.Writer, report)
		return nil
	}
	return report.print(c.App.Writer)
}

func (r *bundleReport) print(out io.Writer) error {
	fmt.Fprintf(out, "%s: %d of %d images, %s\n", r.Output, len(r.Images), len(r.Images)+len(r.Missing), megabytes(r.Size))
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, i := range r.Images {
		fmt.Fprintf(w, "  %s\t%s\t%s\n", i.Name, megabytes(i.Size), i.Source)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "put it into %s of every node and restart K3s; containerd without K3s: %s\n", bundleHome, importing(r.Output))
	return err
}

// importing is the command that imports a bundle; ctr wants it uncompressed.
func importing(path string) string {
	const ctr = "ctr -n k8s.io images import"
	switch {
	case strings.HasSuffix(path, ".zst"):
		return "zstd -dc " + path + " | " + ctr + " -"
	case strings.HasSuffix(path, ".gz"):
		return "gzip -dc " + path + " | " + ctr + " -"
	}
	return ctr + " " + path
}

// close releases what was opened.
func (b *bundler) close() error {
	var failures []error
	for _, done := range b.opened {
		failures = append(failures, done())
	}
	return errors.Join(failures...)
}
