package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/pusher/imagerefs"
	"github.com/riscv-build/riscv-build/recipes"
)

func searchCommand() *cli.Command {
	return &cli.Command{
		Name: "search", Usage: "say where an image for riscv64 is to be had", ArgsUsage: "NAME[:TAG]",
		Description: "NAME is looked for as `audit` does, and as a part of the names of repositories of the private registry\n" +
			"and of recipes of the catalogue. The exit status is 1 if nothing is found.",
		Flags:  flags(stateFlags(), []cli.Flag{registryFlag(), jsonFlag()}),
		Action: search,
	}
}

// searched is what a search found.
type searched struct {
	*availability
	Repositories []string `json:"repositories"` // of the private registry, with NAME in them
	Recipes      []string `json:"recipes"`      // of the catalogue, with NAME in them
}

func search(c *cli.Context) error {
	if c.NArg() != 1 {
		return usagef("searching for %d images: name one, such as nginx or ghcr.io/org/image:1", c.NArg())
	}
	name := c.Args().First()
	image, err := imagerefs.Normal(name)
	if err != nil {
		return usagef("searching for %q: %w: write NAME or HOST/NAME:TAG in lower case", name, err)
	}
	p, err := findPlace(c)
	if err != nil {
		return err
	}
	asker, err := newAsker(p, c.String("registry"))
	if err != nil {
		return err
	}
	found := searched{availability: &availability{Image: image}, Repositories: []string{}, Recipes: []string{}}
	if err := asker.all(c.Context, []*availability{found.availability}); err != nil {
		return err
	}
	part := searchedPart(name)
	found.Recipes = append(found.Recipes, containing(recipes.Catalog(), part)...)
	if asker.target != "" {
		target := strings.TrimSuffix(asker.target+"/"+asker.prefix, "/")
		all, err := asker.push.Repositories(c.Context, target)
		if err != nil {
			p.display.Notice("the repositories of %s are unknown: %v", target, err)
		}
		found.Repositories = append(found.Repositories, containing(all, part)...)
	}
	if c.Bool("json") {
		writeJSON(c.App.Writer, found)
	} else if err := found.print(c, asker.host); err != nil {
		return err
	}
	if found.Verdict == stateNo && len(found.Repositories)+len(found.Recipes) == 0 {
		return fmt.Errorf("searching for %q: it is nowhere for linux/riscv64: start a recipe with `riscv-build init`", name)
	}
	return nil
}

// searchedPart is what a name has in common with its copies: its last part,
// without tag.
func searchedPart(name string) string {
	name = name[strings.LastIndex(name, "/")+1:]
	name, _, _ = strings.Cut(name, "@")
	name, _, _ = strings.Cut(name, ":")
	return name
}

func containing(all []string, part string) []string {
	var list []string
	for _, name := range all {
		if strings.Contains(name, part) {
			list = append(list, name)
		}
	}
	return list
}

func (s *searched) print(c *cli.Context, host string) error {
	if err := printAvailable(c.App.Writer, []*availability{s.availability}); err != nil {
		return err
	}
	if s.Verdict == stateUnknown {
		fmt.Fprintf(c.App.ErrWriter, "%s is unknown, because a registry could not be asked\n", s.Image)
	}
	for _, r := range s.Repositories {
		fmt.Fprintf(c.App.Writer, "repository %s/%s\n", host, r)
	}
	for _, r := range s.Recipes {
		fmt.Fprintf(c.App.Writer, "recipe %s\n", r)
	}
	return nil
}
