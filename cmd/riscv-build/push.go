package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder/check"
	"github.com/riscv-build/riscv-build/pusher"
)

func pushCommand() *cli.Command {
	return &cli.Command{
		Name: "push", Usage: "check an image and push it", ArgsUsage: "LAYOUT|FILE.tar [http://]HOST[:PORT]/REPOSITORY:TAG...",
		Description: "Nothing that fails the check is pushed. What the recipe of an image allows is known with --recipe.",
		Flags:       flags(stateFlags(), checkFlags(), []cli.Flag{indexFlag()}),
		Action:      pushImage,
	}
}

func pushImage(c *cli.Context) error {
	if c.NArg() < 2 {
		return usagef("pushing without an image or without a reference: write `riscv-build push LAYOUT HOST/REPOSITORY:TAG`")
	}
	return judge(c, func(p *place, img pusher.Image, r *check.Report) error {
		if err := r.Err(); err != nil {
			return err
		}
		push := newPusher(p).Push
		if c.Bool("index") {
			push = newPusher(p).PushIndex
		}
		result, err := push(c.Context, img, c.Args().Tail())
		p.display.Flush()
		if err != nil {
			return err
		}
		fmt.Fprintf(c.App.Writer, "%s: %d blobs sent (%s)\n", result.Digest, result.UploadedBlobs, megabytes(result.UploadedBytes))
		for _, ref := range result.Tags {
			fmt.Fprintf(c.App.Writer, "  pushed %s\n", ref)
		}
		return nil
	})
}
