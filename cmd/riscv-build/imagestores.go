package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/pusher"
	"github.com/riscv-build/riscv-build/pusher/imagestore"
)

// imageStore is a container engine of this machine: *imagestore.Containerd,
// *imagestore.Docker or *imagestore.Podman.
type imageStore interface {
	fmt.Stringer
	Load(ctx context.Context, img pusher.Image, names []string) (imagestore.Loaded, error)
	Has(ctx context.Context, name string) (digest.Digest, error)
	Run(ctx context.Context, name string, p imagestore.Process) (int, error)
	Remove(ctx context.Context, name string) error
	Sweep(ctx context.Context) error
	Close() error
}

// anyEngine is the choice of the first engine that answers.
const anyEngine = "any"

// engineValue is the value of --load, which may be left out.
type engineValue string

// Set takes what stands after the equals sign; "true" where there is none.
func (v *engineValue) Set(s string) error {
	switch s {
	case "true":
		s = anyEngine
	case "false":
		s = ""
	}
	*v = engineValue(s)
	return nil
}

func (v *engineValue) String() string { return string(*v) }

// IsBoolFlag lets the value be left out.
func (v *engineValue) IsBoolFlag() bool { return true }

func loadFlag() cli.Flag {
	return &cli.GenericFlag{
		Name: "load", Value: new(engineValue),
		Usage: "put the image into an engine of this machine too, with `ENGINE` (--load=containerd, --load=docker, --load=podman) or into the first of them that answers (--load)",
	}
}

// inFlag chooses an engine where one is needed.
func inFlag() cli.Flag {
	return &cli.StringFlag{Name: "in", Usage: "use `ENGINE`: containerd, docker or podman (default: the first of them that answers)"}
}

// wantedLoad is the engine that --load chooses; "" where the image is not to be
// loaded.
func wantedLoad(c *cli.Context) string {
	if v, ok := c.Generic("load").(*engineValue); ok {
		return string(*v)
	}
	return ""
}

func checkLoad(c *cli.Context) error {
	if v := wantedLoad(c); v != "" && v != anyEngine {
		return checkChoice("load", v, imagestore.Engines)
	}
	return nil
}

// imageStore opens an engine of this machine: the one that is named, or the
// first that answers.
func (p *place) imageStore(c *cli.Context, engine string) (imageStore, error) {
	if engine != anyEngine {
		return p.openEngine(c, engine)
	}
	var reasons []error
	for _, name := range imagestore.Engines {
		s, err := p.openEngine(c, name)
		if err == nil {
			p.display.Verbose("images go into %s", s)
			return s, nil
		}
		if name == imagestore.Engines[0] && p.found.err != nil {
			return nil, err // of one that was named
		}
		reasons = append(reasons, err)
	}
	return nil, environmentError{fmt.Errorf("looking for a container engine: none answers: install containerd, docker or podman:\n%w", errors.Join(reasons...))}
}

func (p *place) openEngine(c *cli.Context, name string) (imageStore, error) {
	switch name {
	case "docker":
		return imagestore.OpenDocker(c.Context)
	case "podman":
		return imagestore.OpenPodman()
	}
	e, ok, err := p.containerd(c)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, environmentError{errors.New("looking for containerd: none answers: start it (`systemctl start containerd`, or k3s), or name its socket with --containerd")}
	}
	return imagestore.OpenContainerd(e)
}

// engineOf is the engine that --in chooses.
func engineOf(c *cli.Context) (string, error) {
	if !c.IsSet("in") {
		return anyEngine, nil
	}
	return c.String("in"), checkChoice("in", c.String("in"), slices.Clone(imagestore.Engines))
}
