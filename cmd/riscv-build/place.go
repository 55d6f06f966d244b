package main

import (
	"cmp"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder/debian"
	"github.com/riscv-build/riscv-build/builder/display"
	"github.com/riscv-build/riscv-build/builder/gomod"
	"github.com/riscv-build/riscv-build/cmd/riscv-build/config"
	"github.com/riscv-build/riscv-build/pusher/containerd"
)

// place is what every verb that touches this machine begins with: the
// configuration, the state directory and the display.
type place struct {
	config   *config.Config
	stateDir string
	display  *display.Display

	found *foundContainerd
	auto  *foundAuto
	own   string // HOST:PORT of a registry of this process that speaks HTTPS; "" if there is none
}

// foundContainerd is what a search for containerd came to.
type foundContainerd struct {
	endpoint containerd.Endpoint
	ok       bool
	err      error
}

// locate reads the configuration and finds the state directory.
func locate(c *cli.Context) (*config.Config, string, error) {
	where := config.Place{Getenv: os.Getenv, EUID: os.Geteuid()}
	cfg, err := config.Load(where.Files())
	if err != nil {
		return nil, "", err
	}
	dir, err := where.StateDir(c.String("state-dir"), cfg)
	if err != nil {
		return nil, "", environmentError{err}
	}
	return cfg, dir, nil
}

func findPlace(c *cli.Context) (*place, error) {
	cfg, dir, err := locate(c)
	if err != nil {
		return nil, err
	}
	progress := c.String("progress")
	if progress == "" {
		progress = "auto" // a verb without this flag
	}
	if err := checkChoice("progress", progress, display.Modes); err != nil {
		return nil, err
	}
	d, err := display.New(c.App.ErrWriter, progress, c.Bool("verbose"))
	if err != nil {
		return nil, err
	}
	d.Verbose("state directory %s", dir)
	return &place{config: cfg, stateDir: dir, display: d}, nil
}

// mirrors finds the Debian mirrors: flag, environment, configuration, the
// host's apt sources, the built-in list.
func (p *place) mirrors(c *cli.Context, note func(string, ...any)) (debian.Mirrors, error) {
	m, err := debian.Discover(debian.DiscoverOptions{
		Flag:   c.StringSlice("mirror"),
		Config: p.config.Mirrors,
		Getenv: p.getenv,
		Note:   note,
	})
	if err != nil {
		return m, usageError{err}
	}
	if len(m.Debian) > 0 {
		note("mirror %s (%s)", m.Debian[0].URL, m.Debian[0].From)
	}
	return m, nil
}

// modules finds the proxies of Go modules.
func (p *place) modules(note func(string, ...any)) (gomod.Proxies, error) {
	m, err := gomod.Discover(gomod.DiscoverOptions{Config: p.config.GoProxies, Note: note})
	if err != nil {
		return m, usageError{err}
	}
	return m, nil
}

// getenv reads the environment, with the configured snapshot service where
// the environment names none.
func (p *place) getenv(key string) string {
	if v := os.Getenv(key); v != "" || key != debian.EnvSnapshot {
		return v
	}
	return p.config.Snapshot
}

// containerd finds the containerd that a run uses, once: what the flag, the
// environment or the configuration names, else the first that answers. False
// where there is none.
func (p *place) containerd(c *cli.Context) (containerd.Endpoint, bool, error) {
	if p.found != nil {
		return p.found.endpoint, p.found.ok, p.found.err
	}
	f := &foundContainerd{}
	p.found = f
	wanted := p.wantedContainerd(c)
	if wanted != "" && wanted != containerd.None {
		if _, err := containerd.Parse(wanted); err != nil {
			f.err = usageError{err}
			return f.endpoint, false, f.err
		}
	}
	if f.endpoint, f.ok, f.err = containerd.Find(c.Context, wanted); f.err != nil {
		f.err = environmentError{f.err}
	}
	if f.ok {
		p.display.Verbose("containerd %s at %s", f.endpoint.Version, f.endpoint)
	}
	return f.endpoint, f.ok, f.err
}

// wantedContainerd is the containerd that was named; "" for none.
func (p *place) wantedContainerd(c *cli.Context) string {
	return cmp.Or(c.String("containerd"), os.Getenv(config.EnvContainerd), p.config.Containerd)
}
