package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/builder/engine/remote"
	"github.com/riscv-build/riscv-build/builder/engineimage"
	"github.com/riscv-build/riscv-build/builder/host"
	"github.com/riscv-build/riscv-build/pusher/enginehost"
)

const engineUpDescription = `Makes the image of the engine from Debian packages, loads it into docker, nerdctl or podman, starts a privileged
container of it without a network, registers QEMU for riscv64 programs where the kernel has no handler, and waits until
the engine answers. Where it runs already nothing is done; one of another version is replaced and keeps its cache, which
is in a volume of the container's name. The address of the engine goes to standard output:

  export RISCV_BUILD_ENGINE=$(riscv-build engine up)`

func engineUpCommand() *cli.Command {
	return &cli.Command{
		Name: "up", Usage: "run the engine in a container of docker, nerdctl or podman", Description: engineUpDescription,
		Flags: flags(stateFlags(), archiveFlags(), progressFlags(), engineProgramFlags(), engineHostFlags(), []cli.Flag{
			&cli.BoolFlag{Name: "offline", Usage: "download nothing"},
		}),
		Action: engineUp,
	}
}

func engineDownCommand() *cli.Command {
	return &cli.Command{
		Name: "down", Usage: "remove the container of \"engine up\" and its image",
		Flags: flags(stateFlags(), engineHostFlags(), []cli.Flag{
			&cli.BoolFlag{Name: "volumes", Usage: "remove the volume with the engine's cache too"},
		}),
		Action: engineDown,
	}
}

// prepareContainer does what an engine in a container needs. One that cannot be
// prepared serves what it can.
func prepareContainer(c *cli.Context) {
	say := func(text string) { fmt.Fprintln(c.App.ErrWriter, text) }
	if err := host.PrepareContainer(c.Context, say); err != nil {
		say("WARNING: " + err.Error())
	}
}

// enginePrepareCommand is what "engine up" runs in the container.
func enginePrepareCommand() *cli.Command {
	return &cli.Command{
		Name: "prepare", Usage: "make the container that this runs in ready for the engine: cgroups, QEMU", Hidden: true,
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			if err := host.PrepareContainer(c.Context, func(did string) { fmt.Fprintln(c.App.Writer, did) }); err != nil {
				return environmentError{err}
			}
			return nil
		},
	}
}

func engineHostFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "with", Usage: "use `COMMAND`: " + strings.Join(enginehost.Tools, ", ") + " (default: the first of them that answers)"},
		&cli.StringFlag{Name: "name", Value: "riscv-build-engine", Usage: "call the container and its volume `NAME`"},
	}
}

// answers tells whether the engine at a URL answers.
func answers(p *place, c *cli.Context, url string) func(context.Context) error {
	return func(ctx context.Context) error {
		opts, err := p.remoteOptions(c, url)
		if err != nil {
			return err
		}
		e, err := remote.Open(ctx, opts)
		if err != nil {
			return err
		}
		return e.Close()
	}
}

// engineHost reads what both verbs share.
func engineHost(c *cli.Context) (*enginehost.Tool, enginehost.Engine, error) {
	e := enginehost.Engine{
		Name: c.String("name"), Label: engineimage.Label, Image: engineimage.Name(programVersion()), State: engineimage.StateDir,
		Prepare: []string{engineimage.ProgramPath, "engine", "prepare"},
	}
	if err := enginehost.CheckName(e.Name); err != nil {
		return nil, e, usageError{err}
	}
	if with := c.String("with"); with != "" {
		if err := checkChoice("with", with, enginehost.Tools); err != nil {
			return nil, e, err
		}
		t, err := enginehost.Open(c.Context, with)
		return t, e, err
	}
	t, err := enginehost.Find(c.Context, e)
	return t, e, err
}

func engineUp(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	tool, e, err := engineHost(c)
	if err != nil {
		return err
	}
	programs, err := enginePrograms(c, []string{tool.Arch()})
	if err != nil {
		return err
	}
	url := tool.URL(e.Name)
	return with(c, func(s *session) error {
		image, err := s.builder.EngineImage(c.Context, builder.EngineImageRequest{Programs: programs, Offline: c.Bool("offline")})
		if err != nil {
			return err
		}
		e.Report = func(format string, args ...any) {
			s.display.Flush()
			s.display.Notice(format, args...)
		}
		e.Answers = answers(s.place, c, url)
		did, err := tool.Up(c.Context, e, image)
		s.display.Flush()
		if err != nil {
			return err
		}
		s.display.Notice("the engine is %s with %s: riscv-build nginx --engine %s", did, tool.Name(), url)
		_, err = fmt.Fprintln(c.App.Writer, url)
		return err
	})
}

func engineDown(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	tool, e, err := engineHost(c)
	if err != nil {
		return err
	}
	removed, err := tool.Down(c.Context, e, c.Bool("volumes"))
	for _, what := range removed {
		fmt.Fprintf(c.App.Writer, "removed %s from %s\n", what, tool.Name())
	}
	if err == nil && len(removed) == 0 {
		fmt.Fprintf(c.App.Writer, "%s has no engine %q\n", tool.Name(), e.Name)
	}
	return err
}
