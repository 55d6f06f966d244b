package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

func k3sCommand() *cli.Command {
	return &cli.Command{
		Name: "k3s", Usage: "list K3s's system images, and bundle them for nodes without Docker Hub",
		Subcommands: []*cli.Command{k3sImagesCommand(), k3sBundleCommand()},
		Action: func(c *cli.Context) error {
			return usagef("running k3s %q: there is no such verb: use `k3s images` or `k3s bundle`", c.Args().First())
		},
	}
}

func k3sImagesCommand() *cli.Command {
	return &cli.Command{
		Name: "images", Usage: "say which of K3s's system images there are for riscv64",
		Description: "Each is looked for at the private registry and in the catalogue, with --upstream at the registry that it names too.",
		Flags: flags(stateFlags(), k3sListFlags(), []cli.Flag{
			registryFlag(),
			&cli.BoolFlag{Name: "upstream", Usage: "ask the registries that the names say too, such as Docker Hub"},
			jsonFlag(),
		}),
		Action: k3sImages,
	}
}

func k3sListFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "list", Usage: "read the images from `FILE`, such as the k3s-images.txt of a K3s release (- is standard input)"},
		&cli.StringFlag{Name: "release", Usage: "take the images of K3s `VERSION`, such as v1.35.0+k3s1, from its release page"},
	}
}

func k3sImages(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	list, err := readK3sList(c)
	if err != nil {
		return err
	}
	p, err := findPlace(c)
	if err != nil {
		return err
	}
	asker, err := newAsker(p, c.String("registry"))
	if err != nil {
		return err
	}
	asker.own = !c.Bool("upstream")
	images := []*availability{}
	for _, i := range list {
		images = append(images, &availability{Image: i.full})
	}
	if err := asker.all(c.Context, images); err != nil {
		return err
	}
	if c.Bool("json") {
		writeJSON(c.App.Writer, document{Results: images})
	} else if err := printAvailable(c.App.Writer, images); err != nil {
		return err
	}
	if hint := k3sHint(images, asker); hint != "" {
		p.display.Notice("%s", hint)
	}
	return nil
}

// k3sHint says how to get what the private registry lacks.
func k3sHint(images []*availability, a *asker) string {
	if a.target == "" {
		return "no registry is named and none configured: --registry HOST:PORT says which of them it has"
	}
	var recipes, copies []string
	for _, i := range images {
		switch {
		case i.Registry.State != stateNo:
		case i.Catalogue.State == stateYes:
			name, _, _ := strings.Cut(i.Catalogue.Found, " ")
			recipes = append(recipes, name)
		default:
			copies = append(copies, i.Image)
		}
	}
	var do []string
	if len(recipes) > 0 {
		do = append(do, fmt.Sprintf("`riscv-build %s --push %s` builds what the catalogue has", strings.Join(recipes, " "), a.place()))
	}
	if len(copies) > 0 {
		do = append(do, fmt.Sprintf("`riscv-build copy %s %s` copies one that is there for riscv64, from where its registry can be reached", copies[0], a.copyOf(copies[0])))
	}
	if len(do) == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d are not at %s: %s", len(recipes)+len(copies), len(images), a.host, strings.Join(do, "; "))
}

// place is the private registry as --push and --registry take it.
func (a *asker) place() string {
	return strings.TrimSuffix(a.target+"/"+a.prefix, "/")
}

// copyOf is where a copy of an image belongs at the private registry.
func (a *asker) copyOf(image string) string {
	_, path, _ := strings.Cut(image, "/")
	return a.place() + "/" + path
}

// chosen are the images of a list that --only names, all without it.
func chosen(list []k3sImage, only []string) ([]k3sImage, error) {
	var unknown []error
	for _, name := range only {
		if !slices.ContainsFunc(list, func(i k3sImage) bool { return i.is(name) }) {
			unknown = append(unknown, usagef("reading --only %q: K3s's list has no such image: use one of %s", name, k3sNames(list)))
		}
	}
	if len(only) == 0 || len(unknown) > 0 {
		return list, errors.Join(unknown...)
	}
	return slices.DeleteFunc(slices.Clone(list), func(i k3sImage) bool { return !slices.ContainsFunc(only, i.is) }), nil
}

func k3sNames(list []k3sImage) string {
	var all []string
	for _, i := range list {
		all = append(all, i.short)
	}
	return strings.Join(all, ", ")
}
