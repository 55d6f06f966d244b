package main

import (
	"context"
	"fmt"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder/check"
	"github.com/riscv-build/riscv-build/pusher"
)

func copyCommand() *cli.Command {
	return &cli.Command{
		Name: "copy", Usage: "copy an image between registries, OCI layouts and archives", ArgsUsage: "SRC DST",
		Description: "SRC and DST are HOST[:PORT]/REPOSITORY[:TAG|@DIGEST], oci:DIR[:NAME], oci-archive:FILE[:NAME],\n" +
			"docker-archive:FILE[:NAME], or a path: a directory is an OCI layout, FILE.tar an OCI archive.\n" +
			"Digests stay. Of an index the image for linux/riscv64 is taken. An image with programs of another\n" +
			"machine than it says is refused.",
		Flags: flags(stateFlags(), []cli.Flag{
			platformFlag(),
			&cli.BoolFlag{Name: "all", Usage: "copy the whole index, with all platforms and what refers to them"},
			&cli.BoolFlag{Name: "allow-other-arch", Usage: "copy an image whatever its programs are for"},
			jsonFlag(),
		}),
		Action: copyImage,
	}
}

func copyImage(c *cli.Context) error {
	if c.NArg() != 2 {
		return usagef("copying with %d arguments: write `riscv-build copy SRC DST`", c.NArg())
	}
	for _, at := range c.Args().Slice() {
		if err := pusher.CheckPlace(at); err != nil {
			return usageError{err}
		}
	}
	if c.Bool("all") && c.IsSet("platform") {
		return usagef("reading --platform %q: --all takes all of them: leave one of the two out", c.String("platform"))
	}
	p, err := findPlace(c)
	if err != nil {
		return err
	}
	opt := pusher.CopyOptions{Platform: c.String("platform"), All: c.Bool("all"), Scratch: scratchDir()}
	if !c.Bool("allow-other-arch") {
		opt.Judge = sameArch
	}
	done, err := newPusher(p).Copy(c.Context, c.Args().Get(0), c.Args().Get(1), opt)
	p.display.Flush()
	if err != nil {
		return err
	}
	if c.Bool("json") {
		writeJSON(c.App.Writer, done)
		return nil
	}
	text := strings.Join(done.Platforms, ", ")
	if done.UploadedBlobs > 0 {
		text += fmt.Sprintf("; %d blobs sent, %s", done.UploadedBlobs, megabytes(done.UploadedBytes))
	}
	fmt.Fprintf(c.App.Writer, "%s: %s (%s)\n", done.Digest, done.To, text)
	return nil
}

// sameArch refuses an image with programs of another machine than its
// configuration says.
func sameArch(ctx context.Context, img pusher.Image, platform ocispec.Platform) error {
	if platform.OS != "linux" {
		return nil // the check reads Linux programs only
	}
	contents, err := check.Load(ctx, img.Provider, img.Desc, nil)
	if err != nil {
		return err
	}
	if files := foreignFiles(contents, platform.Architecture); files != "" {
		return fmt.Errorf("%s: take an image that is built for %s, or copy it as it is with --allow-other-arch", files, platform.Architecture)
	}
	return nil
}

// foreignFiles lists the programs of an image that are for another machine, one
// a line; "" if there are none.
func foreignFiles(contents *check.Contents, architecture string) string {
	foreign := contents.Foreign(architecture)
	const enough = 10 // of a whole system of another machine
	var files []string
	for _, f := range foreign[:min(len(foreign), enough)] {
		files = append(files, f.String())
	}
	if more := len(foreign) - len(files); more > 0 {
		files = append(files, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(files, "\n  ")
}
