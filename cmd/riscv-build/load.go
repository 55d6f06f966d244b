package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder/check"
	"github.com/riscv-build/riscv-build/pusher"
	"github.com/riscv-build/riscv-build/pusher/imagestore"
)

func loadCommand() *cli.Command {
	return &cli.Command{
		Name: "load", Usage: "check an image and put it into containerd, docker or podman", ArgsUsage: "LAYOUT|FILE.tar|REF [NAME...]",
		Description: "Nothing that fails the check is loaded. Without a NAME the image gets those it has in the layout, or\n" +
			"the one it is pulled by. K3s and other Kubernetes see it at once (crictl images).",
		Flags:  flags(stateFlags(), checkFlags(), containerdFlags(), []cli.Flag{inFlag(), jsonFlag()}),
		Action: loadImage,
	}
}

func loadImage(c *cli.Context) error {
	if !c.Args().Present() {
		return usagef("loading no image: write `riscv-build load LAYOUT [NAME]`")
	}
	engine, err := engineOf(c)
	if err != nil {
		return err
	}
	names, err := loadNames(c.Args().First(), c.Args().Tail())
	if err != nil {
		return err
	}
	return judge(c, func(p *place, img pusher.Image, r *check.Report) (err error) {
		if err := r.Err(); err != nil {
			return err
		}
		store, err := p.imageStore(c, engine)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, store.Close()) }()
		loaded, err := store.Load(c.Context, img, names)
		p.display.Flush()
		if err != nil {
			return err
		}
		if c.Bool("json") {
			writeJSON(c.App.Writer, loaded)
			return nil
		}
		fmt.Fprintf(c.App.Writer, "%s\n", img.Desc.Digest)
		printLoaded(c.App.Writer, loaded)
		return nil
	})
}

// loadNames are the names that were given, else those of a layout, else that of
// a registry.
func loadNames(image string, given []string) ([]string, error) {
	if len(given) == 0 && namesRegistry(image) {
		given = []string{image}
	}
	if len(given) == 0 {
		l, err := pusher.OpenLayout(image)
		if err != nil {
			return nil, usageError{err}
		}
		given = l.Refs
		if err := l.Close(); err != nil {
			return nil, err
		}
	}
	if len(given) == 0 {
		return nil, usagef("loading image %q: it has no name: write `riscv-build load %s REPOSITORY:TAG`", image, image)
	}
	for _, name := range given {
		if err := imagestore.CheckName(name); err != nil {
			return nil, usageError{err}
		}
	}
	return given, nil
}
