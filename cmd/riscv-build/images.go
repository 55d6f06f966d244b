package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/containerd/containerd/v2/plugins/content/local"

	"github.com/riscv-build/riscv-build/pusher"
)

// openImage opens what an argument names: an OCI layout or a tar file on this
// machine, else an image in a registry, which is pulled into a directory that
// close removes.
func openImage(ctx context.Context, p *place, arg string) (img pusher.Image, close func() error, err error) {
	if _, err := os.Stat(arg); err == nil {
		l, err := pusher.OpenLayout(arg)
		if err != nil {
			return pusher.Image{}, nil, usageError{err}
		}
		return l.Image, l.Close, nil
	}
	if !namesRegistry(arg) {
		return pusher.Image{}, nil, usagef("opening image %q: there is no such file: name an OCI layout directory, a .tar file or HOST[:PORT]/REPOSITORY:TAG", arg)
	}
	dir, remove, err := pusher.Scratch(scratchDir())
	if err != nil {
		return pusher.Image{}, nil, err
	}
	store, err := local.NewStore(dir)
	if err != nil {
		return pusher.Image{}, nil, errors.Join(err, remove())
	}
	desc, err := newPusher(p).Fetch(ctx, arg, store)
	p.display.Flush()
	if err != nil {
		return pusher.Image{}, nil, errors.Join(fmt.Errorf("opening image %q, which is no file: %w", arg, err), remove())
	}
	return pusher.Image{Provider: store, Desc: desc}, remove, nil
}

// scratchDir is where images of registries are put for a while: $TMPDIR, else
// /var/tmp, because /tmp is memory on many systems; "" is the system's choice.
func scratchDir() string {
	const large = "/var/tmp"
	if fi, err := os.Stat(large); os.Getenv("TMPDIR") == "" && err == nil && fi.IsDir() {
		return large
	}
	return ""
}

// namesRegistry tells a reference from a path that is not there: the host of a
// reference has a dot or a port, or is localhost.
func namesRegistry(arg string) bool {
	if strings.Contains(arg, "://") {
		return true
	}
	host, _, ok := strings.Cut(arg, "/")
	return ok && !strings.HasPrefix(host, ".") && (host == "localhost" || strings.ContainsAny(host, ".:"))
}
