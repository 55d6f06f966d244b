package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/containerd/console"
	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/builder/image"
	"github.com/riscv-build/riscv-build/pusher"
	"github.com/riscv-build/riscv-build/pusher/imagestore"
	"github.com/riscv-build/riscv-build/recipes"
)

func runCommand() *cli.Command {
	return &cli.Command{
		Name: "run", Usage: "run an image once in containerd, docker or podman, and clean up", ArgsUsage: "REF|RECIPE.toml|NAME|LAYOUT [-- ARGUMENTS]",
		Description: "A recipe is built, unless it is already. An image that the engine does not have is pulled from its\n" +
			"registry, whatever the engine's configuration, and removed at the end. Arguments take the place of the\n" +
			"image's command; its entrypoint stays. The exit status is that of the container, 127 or 126 where its\n" +
			"program is not there or cannot be executed. It gets a terminal where this program has one. The first ^C\n" +
			"goes to the container, the second kills it.",
		Flags: flags(stateFlags(), recipeFlags(), archiveFlags(), progressFlags(), engineFlags(), containerdFlags(), limitFlags(), []cli.Flag{
			inFlag(),
			&cli.StringSliceFlag{Name: "env", Aliases: []string{"e"}, Usage: "set `KEY=VALUE`, or KEY as it is here (may be repeated)"},
			&cli.StringSliceFlag{Name: "volume", Usage: "show `HOST:CONTAINER[:ro]`, a directory or file of this machine, in the container (may be repeated)"},
			&cli.StringFlag{Name: "net", Value: "host", Usage: "give it `NETWORK`: host is this machine's own, so that a server is found at once; none is loopback"},
			&cli.StringFlag{Name: "user", Usage: "run as `USER[:GROUP]` instead of the image's user"},
			&cli.BoolFlag{Name: "offline", Usage: "download nothing for the build of a recipe"},
			jobsFlag(),
		}),
		Action: runImage,
	}
}

func runImage(c *cli.Context) (err error) {
	if !c.Args().Present() {
		return usagef("running no image: write `riscv-build run REF|RECIPE [-- ARGUMENTS]`")
	}
	engine, err := engineOf(c)
	if err != nil {
		return err
	}
	process, err := processOf(c)
	if err != nil {
		return err
	}
	p, err := findPlace(c)
	if err != nil {
		return err
	}
	store, err := p.imageStore(c, engine)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // a connection
	if err := store.Sweep(c.Context); err != nil {
		return err
	}
	guest := &guest{store: store}
	defer func() {
		if left := guest.leave(c.Context); left != nil {
			err = errors.Join(err, left)
		}
	}()
	if err := guest.enter(c, p, c.Args().First()); err != nil {
		return err
	}
	p.display.Flush()
	debug.FreeOSMemory() // of the build; what runs may need it
	status, err := guest.run(c.Context, process)
	if err == nil && status != 0 {
		return containerExit(status)
	}
	return err
}

// processOf reads the flags of what is run.
func processOf(c *cli.Context) (imagestore.Process, error) {
	p := imagestore.Process{
		Args: c.Args().Tail(), User: c.String("user"), Network: c.String("net"),
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}
	if err := checkChoice("net", p.Network, imagestore.Networks); err != nil {
		return p, err
	}
	for _, text := range c.StringSlice("volume") {
		v, err := imagestore.ParseVolume(text)
		if err != nil {
			return p, usageError{err}
		}
		p.Volumes = append(p.Volumes, v)
	}
	for _, text := range c.StringSlice("env") {
		if key, _, given := strings.Cut(text, "="); !given {
			value, set := os.LookupEnv(key)
			if !set {
				continue // as docker has it
			}
			text = key + "=" + value
		}
		p.Env = append(p.Env, text)
	}
	if _, err := console.ConsoleFromFile(os.Stdout); err != nil {
		return p, nil //nolint:nilerr // no terminal
	}
	if here, err := console.ConsoleFromFile(os.Stdin); err == nil {
		p.Console = here
	}
	return p, nil
}

// guest is the image of one run in an engine: one that is there, or one that is
// there for the run only.
type guest struct {
	store     imageStore
	name      string
	temporary bool
}

// enter finds or gets the image that an argument names.
func (g *guest) enter(c *cli.Context, p *place, arg string) error {
	_, err := os.Stat(arg)
	here := !errors.Is(err, fs.ErrNotExist)
	switch {
	case filepath.Ext(arg) == ".toml", slices.Contains(recipes.Catalog(), arg):
		return g.build(c, arg)
	case here:
		return g.load(c, p, arg)
	}
	full, err := imagestore.Normal(arg)
	if err != nil {
		return usageError{err}
	}
	id, err := g.store.Has(c.Context, full)
	if err != nil {
		return err
	}
	if id != "" {
		g.name = full
		return nil
	}
	if !strings.ContainsAny(arg, "/:.") {
		_, err := loadRecipe(arg, verbNames(c.App))
		return err // it says what there is
	}
	p.display.Verbose("%s is not in %s: pulling it", full, g.store)
	if !strings.Contains(arg, "://") {
		arg = full
	}
	return g.load(c, p, arg)
}

// build builds a recipe and has it loaded.
func (g *guest) build(c *cli.Context, recipe string) error {
	return withRecipes(c, []string{recipe}, func(s *session, requests []builder.Request) error {
		requests[0].Load = g
		_, err := buildAll(c.Context, s.buildOne(false), requests, func(*builder.Result) {})
		return err
	})
}

// load loads an image of this machine or of a registry.
func (g *guest) load(c *cli.Context, p *place, arg string) (err error) {
	img, done, err := openImage(c.Context, p, arg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	_, config, err := image.ReadManifest(c.Context, img.Provider, img.Desc)
	if err != nil {
		return fmt.Errorf("running image %q: %w", arg, err)
	}
	if got := config.OS + "/" + config.Architecture; got != pusher.DefaultPlatform {
		return fmt.Errorf("running image %q: it is for %s: choose one for %s", arg, got, pusher.DefaultPlatform)
	}
	_, err = g.Load(c.Context, img, nil)
	return err
}

// Load takes the image where the engine has it under one of its names, else it
// is loaded under a name of this run, so that none of the user's moves.
func (g *guest) Load(ctx context.Context, img pusher.Image, names []string) (imagestore.Loaded, error) {
	for _, name := range names {
		id, err := g.store.Has(ctx, name)
		if err != nil {
			return imagestore.Loaded{}, err
		}
		if id != "" && imagestore.Same(ctx, img, id) {
			g.name = name
			return imagestore.Loaded{Into: g.store.String(), Names: []string{name}, Unchanged: true}, nil
		}
	}
	g.name, g.temporary = imagestore.ForThisRun(), true
	return g.store.Load(ctx, img, []string{g.name})
}

// run runs the image. From here on signals are the container's.
func (g *guest) run(ctx context.Context, p imagestore.Process) (int, error) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("running image %q: %w", g.name, err)
	}
	p.Signals = signals
	return g.store.Run(context.WithoutCancel(ctx), g.name, p)
}

// leave removes the image if it came for this run.
func (g *guest) leave(ctx context.Context) error {
	if !g.temporary {
		return nil
	}
	return g.store.Remove(context.WithoutCancel(ctx), g.name)
}
