package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/pusher/imagerefs"
)

func auditCommand() *cli.Command {
	return &cli.Command{
		Name: "audit", Usage: "say which images of manifests have no riscv64", ArgsUsage: "FILE...",
		Description: "FILE is a Kubernetes manifest, what `helm template` prints, or a Compose file; - is standard input.\n" +
			"Each image is looked for at the registry that it names, at the private registry and in the catalogue.\n" +
			"The exit status is 1 if one is nowhere. A registry that cannot be asked makes an image unknown, not missing.",
		Flags:  flags(stateFlags(), []cli.Flag{registryFlag(), jsonFlag()}),
		Action: audit,
	}
}

func audit(c *cli.Context) error {
	if !c.Args().Present() {
		return usagef("auditing nothing: name manifests or Compose files, or - for standard input")
	}
	var refs []imagerefs.Ref
	var problems []error
	for _, arg := range c.Args().Slice() {
		found, err := readRefs(c, arg)
		if err != nil {
			problems = append(problems, err)
		} else if len(found) == 0 {
			fmt.Fprintf(c.App.ErrWriter, "%s names no image\n", arg)
		}
		refs = append(refs, found...)
	}
	if err := errors.Join(problems...); err != nil {
		return usageError{err}
	}
	p, err := findPlace(c)
	if err != nil {
		return err
	}
	asker, err := newAsker(p, c.String("registry"))
	if err != nil {
		return err
	}
	images := distinct(refs)
	if err := asker.all(c.Context, images); err != nil {
		return err
	}
	if c.Bool("json") {
		writeJSON(c.App.Writer, document{Results: images})
	} else if err := printAvailable(c.App.Writer, images); err != nil {
		return err
	}
	if unknown := having(images, stateUnknown); len(unknown) > 0 {
		p.display.Notice("%d of %d images are unknown, because a registry could not be asked: %s", len(unknown), len(images), strings.Join(unknown, ", "))
	}
	if missing := having(images, stateNo); len(missing) > 0 {
		return fmt.Errorf("auditing images: %d of %d are nowhere for linux/riscv64: %s: build them from recipes, or name others",
			len(missing), len(images), strings.Join(missing, ", "))
	}
	return nil
}

// readRefs reads a file, or standard input for "-".
func readRefs(c *cli.Context, arg string) ([]imagerefs.Ref, error) {
	var data []byte
	var err error
	if arg == "-" {
		data, err = io.ReadAll(c.App.Reader)
	} else {
		data, err = os.ReadFile(arg)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w: name a file, or - for standard input", arg, err)
	}
	// Compose reads variables of the environment, then of the file .env beside it.
	beside := filepath.Join(filepath.Dir(arg), ".env")
	vars, err := dotenv.Read(beside)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading %q: %w: correct it", beside, err)
	}
	return imagerefs.Parse(arg, data, func(name string) (string, bool) {
		if v, ok := os.LookupEnv(name); ok {
			return v, true
		}
		v, ok := vars[name]
		return v, ok
	})
}

// distinct gathers the places that name the same image, in order of the images.
func distinct(refs []imagerefs.Ref) []*availability {
	images := []*availability{}
	byName := map[string]*availability{}
	for _, r := range refs {
		name := r.Image
		if name == "" {
			name = r.Name
		}
		if byName[name] == nil {
			byName[name] = &availability{Image: name}
			images = append(images, byName[name])
		}
		byName[name].At = append(byName[name].At, r)
	}
	slices.SortFunc(images, func(a, b *availability) int { return strings.Compare(a.Image, b.Image) })
	return images
}

// having names the images of one verdict.
func having(images []*availability, verdict string) []string {
	var list []string
	for _, i := range images {
		if i.Verdict == verdict {
			list = append(list, i.Image)
		}
	}
	return list
}

// printAvailable prints a line for every image, then why the rest is not there.
func printAvailable(out io.Writer, images []*availability) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	header, located := "IMAGE\tRISCV64\tUPSTREAM\tREGISTRY\tCATALOGUE", false
	for _, i := range images {
		located = located || len(i.At) > 0
	}
	if located {
		header += "\tWHERE"
	}
	fmt.Fprintln(w, header)
	for _, i := range images {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s", i.Image, i.Verdict, cell(i.Upstream.State), cell(i.Registry.State), cell(i.Catalogue.State))
		if located {
			fmt.Fprintf(w, "\t%s", where(i.At))
		}
		fmt.Fprintln(w)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, i := range images {
		for _, a := range []struct {
			name string
			answer
		}{{"upstream", i.Upstream}, {"registry", i.Registry}, {"catalogue", i.Catalogue}} {
			if text := a.line(i.Verdict); text != "" {
				fmt.Fprintf(out, "%s: %s: %s\n", i.Image, a.name, text)
			}
		}
	}
	return nil
}

// line explains an answer: where an image was found under another name, or why
// one that is not to be had is not there.
func (a answer) line(verdict string) string {
	switch {
	case a.State == stateYes && a.Reason != "":
		return a.Found + ", " + a.Reason
	case a.State == stateYes:
		return a.Found
	case verdict == stateYes, a.Reason == "":
		return ""
	case a.Found != "":
		return a.Found + ": " + a.Reason
	}
	return a.Reason
}

func cell(state string) string {
	if state == stateUnasked {
		return "-"
	}
	return state
}

func where(at []imagerefs.Ref) string {
	var list []string
	for _, r := range at {
		list = append(list, fmt.Sprintf("%s:%d", r.File, r.Line))
	}
	return strings.Join(list, ", ")
}
