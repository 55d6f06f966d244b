package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/builder/engineimage"
	"github.com/riscv-build/riscv-build/pusher"
)

const engineImageDescription = `The image holds this program, runc, QEMU for riscv64 programs and certificates, from Debian packages that a lock
in this program pins: the same program gives the same digest. Docker of any age, podman and containerd load the file.

  riscv-build engine image -o engine.tar
  docker load -i engine.tar
  docker run -d --privileged --name riscv-build-engine -v riscv-build-engine:` + engineimage.StateDir + ` NAME
  riscv-build nginx --engine docker-container://riscv-build-engine

"engine up" does all but the last. Of several architectures the file holds one index; a Docker that keeps no
indexes loads each under its name with -ARCH behind it.`

func engineImageCommand() *cli.Command {
	return &cli.Command{
		Name: "image", Usage: "write the engine as a container image", Description: engineImageDescription,
		Flags: flags(stateFlags(), archiveFlags(), progressFlags(), engineProgramFlags(), []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write to `FILE`, which ends in .tar, .tar.gz or .tar.zst"},
			&cli.StringSliceFlag{Name: "arch", Usage: "for `ARCH[,...]`: " + strings.Join(engineimage.Arches, ", ") + " (default: that of this machine)"},
			&cli.StringSliceFlag{Name: "tag", Usage: "name the image `REPOSITORY:TAG` (may be repeated; default: " + engineimage.Repository + ":VERSION)"},
			&cli.StringFlag{Name: "lock", Usage: "take the packages that the lock `FILE` pins, and write it where it is not there, instead of those pinned in this program"},
			&cli.BoolFlag{Name: "update", Usage: "with --lock: resolve the packages anew"},
			&cli.BoolFlag{Name: "allow-expired", Usage: "accept an archive past its Valid-Until; the lock and every report say so"},
			&cli.BoolFlag{Name: "offline", Usage: "download nothing"},
			jsonFlag(),
		}),
		Action: engineImage,
	}
}

// engineProgramFlags say where this program is for other architectures.
func engineProgramFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "binary", Usage: "riscv-build for an architecture is `ARCH=FILE` (default: this program, or " + engineimage.ReleaseName("ARCH") + " beside it)"},
	}
}

// engineImageReport is what --json prints.
type engineImageReport struct {
	Output string        `json:"output"`
	Digest digest.Digest `json:"digest"`
	Names  []string      `json:"names"`
	Arches []string      `json:"arches"`
	Size   int64         `json:"bytes"`
	Notes  []string      `json:"notes,omitempty"`
}

func engineImage(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	arches, err := engineArches(c)
	if err != nil {
		return err
	}
	r := engineImageReport{Output: c.String("output"), Names: c.StringSlice("tag"), Arches: arches}
	if len(r.Names) == 0 {
		r.Names = []string{engineimage.Name(programVersion())}
	}
	req, err := engineRequest(c, arches)
	if err != nil {
		return err
	}
	err = with(c, func(s *session) error {
		image, err := s.builder.EngineImage(c.Context, req)
		if err != nil {
			return err
		}
		img, err := image.Make(c.Context)
		s.display.Flush()
		if err != nil {
			return err
		}
		r.Digest, r.Notes = img.Desc.Digest, image.Notes()
		return pusher.WriteBundle(c.Context, []pusher.Named{{Image: img, Names: r.Names}}, r.Output)
	})
	if err != nil {
		return err
	}
	return r.print(c)
}

// engineRequest reads the flags of an image.
func engineRequest(c *cli.Context, arches []string) (builder.EngineImageRequest, error) {
	req := builder.EngineImageRequest{Update: c.Bool("update"), Offline: c.Bool("offline"), AllowExpired: c.Bool("allow-expired")}
	if c.String("output") == "" {
		return req, usagef("writing the engine's image: say where: -o FILE.tar")
	}
	if err := pusher.CheckBundle(c.String("output")); err != nil {
		return req, usageError{err}
	}
	if req.Update && c.String("lock") == "" {
		return req, usagef("reading --update: the packages pinned in this program cannot change: name a lock with --lock FILE")
	}
	var err error
	if req.LockPath = c.String("lock"); req.LockPath != "" {
		if req.LockPath, err = filepath.Abs(req.LockPath); err != nil {
			return req, fmt.Errorf("reading --lock %q: %w: name an absolute path", c.String("lock"), err)
		}
	}
	req.Programs, err = enginePrograms(c, arches)
	return req, err
}

// engineArches are the values of --arch, each once.
func engineArches(c *cli.Context) ([]string, error) {
	var all []string
	for _, value := range c.StringSlice("arch") {
		for _, arch := range strings.Split(value, ",") {
			if err := checkChoice("arch", arch, engineimage.Arches); err != nil {
				return nil, err
			}
			if !slices.Contains(all, arch) {
				all = append(all, arch)
			}
		}
	}
	if len(all) == 0 {
		all = []string{runtime.GOARCH}
	}
	return all, nil
}

// enginePrograms finds this program for each architecture.
func enginePrograms(c *cli.Context, arches []string) ([]engineimage.Program, error) {
	named := map[string]string{}
	for _, value := range c.StringSlice("binary") {
		arch, file, ok := strings.Cut(value, "=")
		if !ok || file == "" || !slices.Contains(engineimage.Arches, arch) {
			return nil, usagef("reading --binary %q: write ARCH=FILE, such as arm64=%s", value, engineimage.ReleaseName("arm64"))
		}
		named[arch] = file
	}
	var all []engineimage.Program
	for _, arch := range arches {
		p, err := engineimage.Find(arch, named[arch])
		if err != nil {
			return nil, environmentError{err}
		}
		all = append(all, p)
	}
	return all, nil
}

func (r engineImageReport) print(c *cli.Context) error {
	fi, err := os.Stat(r.Output)
	if err != nil {
		return fmt.Errorf("reading %q: %w: write it again", r.Output, err)
	}
	r.Size = fi.Size()
	if c.Bool("json") {
		writeJSON(c.App.Writer, r)
		return nil
	}
	for _, note := range r.Notes {
		fmt.Fprintf(c.App.ErrWriter, "note: %s\n", note)
	}
	_, err = fmt.Fprintf(c.App.Writer, "%s\n%s: %s for linux/%s, %s\n", r.Digest, r.Output, strings.Join(r.Names, ", "), strings.Join(r.Arches, ", linux/"), megabytes(r.Size))
	return err
}
