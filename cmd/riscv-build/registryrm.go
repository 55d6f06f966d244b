package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/pusher"
)

func registryRmCommand() *cli.Command {
	return &cli.Command{
		Name: "rm", Usage: "delete tags, or images by digest", ArgsUsage: "HOST[:PORT]/REPOSITORY:TAG|@DIGEST...",
		Description: "A digest is deleted with all its tags. The space of layers is freed by the registry's garbage collection.",
		Flags: flags(stateFlags(), []cli.Flag{
			&cli.BoolFlag{Name: "dry-run", Usage: "say what would be deleted"}, jsonFlag(),
		}),
		Action: registryRm,
	}
}

func registryRm(c *cli.Context) error {
	if c.NArg() == 0 {
		return usagef("deleting nothing: name what to delete as HOST[:PORT]/REPOSITORY:TAG or @DIGEST")
	}
	for _, ref := range c.Args().Slice() {
		if err := pusher.CheckReference(ref); err != nil {
			return usageError{err}
		}
		if i := strings.LastIndex(ref, "/"); !strings.ContainsAny(ref[i+1:], ":@") {
			return usagef("deleting %q: it names no tag: write it out, :latest too", ref)
		}
	}
	p, err := findPlace(c)
	if err != nil {
		return err
	}
	dry := c.Bool("dry-run")
	push := newPusher(p)
	results := []pusher.Removed{}
	var failures []error
	for _, ref := range c.Args().Slice() {
		done, err := push.Remove(c.Context, ref, dry)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		results = append(results, done)
		if !c.Bool("json") {
			fmt.Fprintln(c.App.Writer, removal(done, dry))
		}
	}
	if c.Bool("json") {
		writeJSON(c.App.Writer, document{Results: results})
	} else if len(results) > 0 && !dry {
		p.display.Notice("the space of layers is freed by the registry's garbage collection")
	}
	return errors.Join(failures...)
}

// removal says what was deleted.
func removal(r pusher.Removed, dry bool) string {
	verb := "deleted"
	if dry {
		verb = "would delete"
	}
	if !r.Manifest {
		return fmt.Sprintf("%s tag %s (%s)", verb, r.Ref, r.Digest)
	}
	text := fmt.Sprintf("%s image %s (%s)", verb, r.Ref, r.Digest)
	if len(r.Tags) > 0 {
		text += " with its tags " + strings.Join(r.Tags, ", ")
	}
	return text
}
