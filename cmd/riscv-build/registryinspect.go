package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder/check"
	"github.com/riscv-build/riscv-build/pusher"
)

func registryInspectCommand() *cli.Command {
	return &cli.Command{
		Name: "inspect", Usage: "show platforms, layers, configuration and programs of an image", ArgsUsage: "REF|LAYOUT|FILE.tar",
		Description: "Of an index the image for linux/riscv64 is shown, or that for --platform. Its layers are downloaded\n" +
			"to read machine, instruction set and libraries of its programs.",
		Flags:  flags(stateFlags(), []cli.Flag{platformFlag(), jsonFlag()}),
		Action: registryInspect,
	}
}

func platformFlag() cli.Flag {
	return &cli.StringFlag{Name: "platform", Usage: "take the image for `OS/ARCH` (default " + pusher.DefaultPlatform + ")"}
}

// inspected is what is printed of an image.
type inspected struct {
	Ref       string             `json:"ref"`
	Digest    digest.Digest      `json:"digest,omitempty"`
	MediaType string             `json:"media_type,omitempty"`
	Images    []pusher.ImageInfo `json:"images"`
	Image     *inspectedImage    `json:"image,omitempty"`
}

type inspectedImage struct {
	Platform string              `json:"platform"`
	Digest   digest.Digest       `json:"digest"`
	Layers   []inspectedLayer    `json:"layers"`
	Created  *time.Time          `json:"created,omitempty"`
	Config   ocispec.ImageConfig `json:"config"` // keys as in the image (OCI image-spec, config.md)
	Machines map[string]int      `json:"machines"`
	Programs []check.Program     `json:"programs"`
}

type inspectedLayer struct {
	Digest    digest.Digest `json:"digest"`
	MediaType string        `json:"media_type"`
	Size      int64         `json:"size"` // bytes, as sent
}

func registryInspect(c *cli.Context) error {
	if c.NArg() != 1 {
		return usagef("inspecting %d images: name one: HOST[:PORT]/REPOSITORY:TAG, an OCI layout or a tar file", c.NArg())
	}
	if err := pusher.CheckPlace(c.Args().First()); err != nil {
		return usageError{err}
	}
	p, err := findPlace(c)
	if err != nil {
		return err
	}
	opt := pusher.CopyOptions{Platform: c.String("platform"), Scratch: scratchDir()}
	return newPusher(p).Inspect(c.Context, c.Args().First(), opt, func(in *pusher.Inspection) error {
		p.display.Flush()
		out := &inspected{Ref: in.Ref, Digest: in.Digest, MediaType: in.MediaType, Images: in.Images}
		if in.Manifest == nil {
			p.display.Notice("%q has no %s image: choose another with --platform", in.Ref, pusher.DefaultPlatform)
		} else if out.Image, err = inspectImage(c.Context, in); err != nil {
			return err
		}
		if c.Bool("json") {
			writeJSON(c.App.Writer, out)
			return nil
		}
		return out.print(c.App.Writer)
	})
}

// inspectImage reads the configuration and the programs of the chosen image.
func inspectImage(ctx context.Context, in *pusher.Inspection) (*inspectedImage, error) {
	out := &inspectedImage{Digest: in.Image.Desc.Digest, Platform: in.Platform.OS + "/" + in.Platform.Architecture, Programs: []check.Program{}}
	for _, l := range in.Manifest.Layers {
		out.Layers = append(out.Layers, inspectedLayer{l.Digest, l.MediaType, l.Size})
	}
	if in.Platform.OS != "linux" {
		return out, nil // no file system that the check can read
	}
	contents, err := check.Load(ctx, in.Image.Provider, in.Image.Desc, nil)
	if err != nil {
		return nil, err
	}
	out.Created, out.Config = contents.Config.Created, contents.Config.Config
	out.Machines, out.Programs = contents.Machines(), contents.Programs()
	return out, nil
}

func (in *inspected) print(out io.Writer) error {
	fmt.Fprintf(out, "%s\n%s %s\n\n", in.Ref, in.Digest, in.MediaType)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, i := range in.Images {
		fmt.Fprintf(w, "%s\t%s\t%s\n", i.Platform, i.Digest, megabytes(i.Size))
	}
	if img := in.Image; img != nil {
		fmt.Fprintf(w, "\nlayers of %s\n", img.Platform)
		for _, l := range img.Layers {
			fmt.Fprintf(w, "%s\t%s\t%s\n", l.Digest, megabytes(l.Size), l.MediaType)
		}
		fmt.Fprintln(w)
		img.config(w)
		if len(img.Programs) > 0 {
			fmt.Fprintln(w, "\nprogram\tmachine\tISA\tlibraries")
		}
		for _, p := range img.Programs {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", p.Path, p.Machine, p.ISA, strings.Join(p.Needed, " "))
		}
	}
	return w.Flush()
}

// config prints what the configuration sets.
func (img *inspectedImage) config(w io.Writer) {
	line := func(name string, values ...string) {
		if text := strings.Join(values, " "); text != "" {
			fmt.Fprintf(w, "%s\t%s\n", name, text)
		}
	}
	list := func(name string, values []string) {
		if len(values) > 0 {
			raw, err := json.Marshal(values)
			if err == nil {
				line(name, string(raw))
			}
		}
	}
	if img.Created != nil {
		line("created", img.Created.Format(time.RFC3339))
	}
	c := img.Config
	list("entrypoint", c.Entrypoint)
	list("cmd", c.Cmd)
	line("user", c.User)
	line("workdir", c.WorkingDir)
	line("stop signal", c.StopSignal)
	line("exposed", slices.Sorted(maps.Keys(c.ExposedPorts))...)
	line("volumes", slices.Sorted(maps.Keys(c.Volumes))...)
	for _, e := range c.Env {
		line("env", e)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Labels)) {
		line("label", name+"="+c.Labels[name])
	}
	var machines []string
	for _, m := range slices.Sorted(maps.Keys(img.Machines)) {
		machines = append(machines, fmt.Sprintf("%s (%d files)", m, img.Machines[m]))
	}
	line("machines", strings.Join(machines, ", "))
}
