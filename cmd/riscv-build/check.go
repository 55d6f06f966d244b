package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder/check"
	"github.com/riscv-build/riscv-build/pusher"
	"github.com/riscv-build/riscv-build/recipes"
)

func checkCommand() *cli.Command {
	return &cli.Command{
		Name: "check", Usage: "check that an image is really riscv64 and complete", ArgsUsage: "LAYOUT|FILE.tar|REF",
		Flags:  flags(stateFlags(), checkFlags(), []cli.Flag{jsonFlag()}),
		Action: checkImage,
	}
}

func checkImage(c *cli.Context) error {
	if c.NArg() != 1 {
		return usagef("checking %d images: name one: an OCI layout, a tar file or HOST/REPOSITORY:TAG", c.NArg())
	}
	return judge(c, func(_ *place, _ pusher.Image, r *check.Report) error {
		printReport(c, r)
		return r.Err()
	})
}

// judge opens the image that the first argument names, checks it, and hands it
// on with what was found.
func judge(c *cli.Context, f func(*place, pusher.Image, *check.Report) error) (err error) {
	p, err := findPlace(c)
	if err != nil {
		return err
	}
	opt, err := checkOptions(c)
	if err != nil {
		return err
	}
	img, done, err := openImage(c.Context, p, c.Args().First())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	report, err := check.Image(c.Context, img.Provider, img.Desc, opt)
	if err != nil {
		return err
	}
	return f(p, img, report)
}

// checkFlags are how an image is judged without its recipe, or by one.
func checkFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "profile", Value: check.DefaultProfile, Usage: "the `ISA` that every program must run on"},
		&cli.StringFlag{Name: "recipe", Usage: "judge by what the recipe in `FILE` allows: profile, [[check.allow]], setuid"},
	}
}

func checkOptions(c *cli.Context) (check.Options, error) {
	opt := check.Options{Profile: c.String("profile")}
	if c.String("recipe") == "" {
		return opt, nil
	}
	r, err := loadRecipe(c.String("recipe"), nil)
	if err != nil {
		return opt, err
	}
	return recipeOptions(r, opt, c.IsSet("profile")), nil
}

func recipeOptions(r *recipes.Recipe, opt check.Options, keepProfile bool) check.Options {
	if !keepProfile {
		opt.Profile = r.Check.Profile
	}
	opt.Allow, opt.Setuid = r.Check.Allow, r.Image.Setuid
	return opt
}

func printReport(c *cli.Context, r *check.Report) {
	if !c.Bool("json") {
		describe(c.App.Writer, r)
		return
	}
	if r.Findings == nil {
		r.Findings = []check.Finding{} // a list for every reader
	}
	writeJSON(c.App.Writer, r)
}

// describe prints a report; its errors follow on standard error.
func describe(w io.Writer, r *check.Report) {
	for _, f := range r.Notes() {
		fmt.Fprintf(w, "note: %s\n", f)
	}
	if r.Err() == nil {
		fmt.Fprintf(w, "%s, %s: %d files, %d of them ELF (%s): ok\n", r.Platform, r.Profile, r.Files, r.ELF, strings.Join(r.ISA, ", "))
	}
}
