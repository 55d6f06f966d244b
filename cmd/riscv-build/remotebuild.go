package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/builder/service/client"
	"github.com/riscv-build/riscv-build/builder/service/screen"
	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// distantBuild builds through a service, one recipe after the other.
type distantBuild struct {
	*client.Client
	c     *cli.Context
	place *place
	here  bool // the service is of this machine
}

// run submits what the arguments name, follows and prints what comes of it.
func (d *distantBuild) run(args []string) error {
	submissions, err := d.submissions(args)
	if err != nil {
		return err
	}
	if d.c.Bool("detach") {
		return d.detach(submissions)
	}
	results, failures := []*builder.Result{}, []error{}
	for _, s := range submissions {
		builds, err := d.Submit(d.c.Context, s.Submission)
		if err != nil {
			failures = append(failures, fromService(err))
			break
		}
		for _, b := range builds {
			result, err := d.follow(b)
			if result != nil {
				results = append(results, result)
			}
			failures = append(failures, err)
			if err == nil {
				failures = append(failures, s.keepLock(d.c.Context, d.Client, b))
			}
		}
		if d.c.Context.Err() != nil {
			break
		}
	}
	if d.c.Bool("json") {
		writeJSON(d.c.App.Writer, document{Results: results})
	}
	return errors.Join(failures...)
}

// detach submits, and prints the numbers of the builds.
func (d *distantBuild) detach(submissions []submitted) error {
	all := []service.Build{}
	var failed error
	for _, s := range submissions {
		builds, err := d.Submit(d.c.Context, s.Submission)
		if failed = fromService(err); failed != nil {
			break
		}
		all = append(all, builds...)
		for _, b := range builds {
			d.print(func(w io.Writer) { fmt.Fprintln(w, b.ID) })
		}
	}
	if d.c.Bool("json") {
		writeJSON(d.c.App.Writer, document{Results: all})
	}
	return failed
}

// print prints for people.
func (d *distantBuild) print(text func(io.Writer)) {
	if !d.c.Bool("json") {
		text(d.c.App.Writer)
	}
}

// submitted is a submission, and the recipe on this machine that it is of.
type submitted struct {
	service.Submission
	root   string // directory of the recipe; "" for a name
	locked []byte // what the lock was when it was sent
}

// submissions makes one of each argument.
func (d *distantBuild) submissions(args []string) ([]submitted, error) {
	if len(args) == 0 {
		return nil, usagef("naming no recipe: name a recipe file, or one that the service has")
	}
	options, err := d.options()
	if err != nil {
		return nil, err
	}
	var all []submitted
	for _, arg := range args {
		if !d.here && !namesFile(arg) {
			all = append(all, submitted{Submission: service.Submission{Recipes: []string{arg}, Options: options}})
			continue
		}
		r, err := loadRecipe(arg, verbNames(d.c.App))
		if err != nil {
			return nil, err
		}
		s, err := submissionOf(r, options)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// submissionOf names a recipe of the catalogue, and packs another one with its
// files.
func submissionOf(r *recipes.Recipe, options service.Options) (submitted, error) {
	s := submitted{Submission: service.Submission{Options: options}}
	if r.OfCatalog() {
		s.Recipes = []string{"catalog/" + r.Name}
		return s, nil
	}
	var err error
	if s.Upload, err = client.Pack(r); err != nil {
		return s, usageError{err}
	}
	s.root = r.Root
	s.locked, err = lockOf(r.Root)
	return s, err
}

// options are the flags that a service takes.
func (d *distantBuild) options() (service.Options, error) {
	c := d.c
	if c.IsSet("mode") {
		if err := checkChoice("mode", c.String("mode"), modes); err != nil {
			return service.Options{}, err
		}
	}
	if d.here { // as without the service: nothing is pushed that nobody asked for
		if err := checkTargets(c); err != nil {
			return service.Options{}, err
		}
	}
	o := service.Options{
		Push: c.StringSlice("push"), NoPush: d.here && len(c.StringSlice("push")) == 0, Tags: c.StringSlice("tag"), Index: c.Bool("index"), Locked: c.Bool("locked"),
		NoCache: c.Bool("no-cache"), Changed: c.Bool("changed"),
	}
	if c.IsSet("mode") {
		o.Mode = c.String("mode")
	}
	return o, nil
}

// follow shows a build until it has ended. The result is nil where it never began.
func (d *distantBuild) follow(b service.Build) (*builder.Result, error) {
	ctx := d.c.Context
	show := &screen.Screen{Name: b.Recipe, To: d.place.display}
	err := d.FollowWhole(ctx, b.ID, show.Show)
	show.Close()
	d.place.display.Flush()
	if ctx.Err() != nil {
		server := ""
		if url := d.c.String("server"); url != "" {
			server = "--server " + url + " "
		}
		return nil, fmt.Errorf("following build %d of %q: it goes on: `riscv-build %slogs --follow %d` follows it, `riscv-build %scancel %d` ends it", b.ID, b.Recipe, server, b.ID, server, b.ID)
	}
	if err == nil {
		b, err = d.Build(ctx, b.ID)
	}
	if err != nil {
		return nil, fromService(err)
	}
	result, err := ending(b)
	if err == nil && result != nil {
		d.print(func(w io.Writer) { printResult(w, result) })
	}
	return result, err
}

// ending is what came of a build that has ended. The result is nil where it
// never began.
func ending(b service.Build) (*builder.Result, error) {
	if b.Status == service.Succeeded {
		return b.Result, nil
	}
	text := b.Error
	if text == "" {
		text = fmt.Sprintf("building recipe %q: the build %d was %s", b.Recipe, b.ID, b.Status)
	}
	return b.Result, &remoteFailure{text: text, exit: b.Exit}
}

// keepLock writes the lock that a build made beside the recipe, if that is as
// it was when it was sent.
func (s *submitted) keepLock(ctx context.Context, from *client.Client, b service.Build) error {
	if s.root == "" {
		return nil
	}
	r, err := from.Artefact(ctx, b.ID, service.LockArtefact)
	if err != nil {
		return fromService(err)
	}
	text, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		return fmt.Errorf("reading the lock of build %d: %w: ask the service again", b.ID, err)
	}
	now, err := lockOf(s.root)
	if err != nil || bytes.Equal(text, now) || len(text) == 0 || !bytes.Equal(now, s.locked) {
		return err
	}
	path := filepath.Join(s.root, lock.Name)
	if err := os.WriteFile(path+"~", text, 0o644); err != nil {
		return fmt.Errorf("writing lock %q: %w: make its directory writable", path, err)
	}
	return os.Rename(path+"~", path)
}

// lockOf is the lock in a directory; nil if there is none.
func lockOf(root string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(root, lock.Name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}
