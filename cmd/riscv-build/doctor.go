package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder/host"
)

func doctorCommand() *cli.Command {
	return &cli.Command{
		Name: "doctor", Usage: "check whether this machine can build, and say what to do",
		Flags: append(append(stateFlags(), archiveFlags()[:1]...), jsonFlag(),
			&cli.BoolFlag{Name: "fix", Usage: "mount binfmt_misc and register QEMU for riscv64 programs where that is missing"}),
		Action: doctor,
	}
}

func doctor(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	place, err := findPlace(c)
	if err != nil {
		return err
	}
	if c.Bool("fix") {
		if err := host.Fix(c.Context, func(done string) { fmt.Fprintln(c.App.ErrWriter, done) }); err != nil {
			return environmentError{err}
		}
	}
	mirrors, err := place.mirrors(c, place.display.Verbose)
	if err != nil {
		return err
	}
	o := host.Options{StateDir: place.stateDir, NotBefore: programDate()}
	for _, m := range mirrors.Debian {
		o.Mirrors = append(o.Mirrors, m.URL)
	}
	findings := host.Check(c.Context, o)
	if c.Bool("json") {
		writeJSON(c.App.Writer, map[string]any{"ok": !host.Failed(findings), "findings": findings})
	} else {
		printFindings(c.App.Writer, findings)
	}
	if host.Failed(findings) {
		return environmentError{errors.New("checking this machine: a build would fail: do what stands behind \"fix:\"")}
	}
	return nil
}

func printFindings(w io.Writer, findings []host.Finding) {
	for _, f := range findings {
		mark := "ok"
		if !f.OK {
			mark = string(f.Severity)
		}
		fmt.Fprintf(w, "%-8s %-18s %s\n", mark, f.Name, f.What)
		if !f.OK {
			fmt.Fprintf(w, "%28swhy: %s\n%28sfix: %s\n", "", f.Why, "", f.Fix)
		}
	}
}
