// Command clientparsers reads client configurations with the clients' own
// parsers, for the tests of pusher/clients, and prints what they understood as
// JSON. It is a module of its own: these parsers bring in more than the rest of
// the program.
//
//	clientparsers k3s FILE                 registries.yaml, by K3s's parser
//	clientparsers pull FILE NAME           the digest of NAME for linux/riscv64, all of which K3s's client pulls by registries.yaml
//	clientparsers podman DIRECTORY NAME    where podman pulls NAME from, by DIRECTORY/registries.conf{,.d}
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/rancher/wharfie/pkg/registries"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/pkg/sysregistriesv2"
	"go.podman.io/image/v5/types"
)

func main() {
	understood, err := read(os.Args[1:])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(understood)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "clientparsers:", err)
		os.Exit(1)
	}
}

func read(args []string) (any, error) {
	switch {
	case len(args) == 2 && args[0] == "k3s":
		r, err := registries.GetPrivateRegistries(args[1])
		if err != nil {
			return nil, err
		}
		return r.Registry, nil
	case len(args) == 3 && args[0] == "pull":
		return pull(args[1], args[2])
	case len(args) == 3 && args[0] == "podman":
		return sources(args[1], args[2])
	}
	return nil, fmt.Errorf("reading arguments %q: see the command's comment", args)
}

func pull(file, image string) (any, error) {
	conf, err := registries.GetPrivateRegistries(file)
	if err != nil {
		return nil, err
	}
	ref, err := name.ParseReference(image)
	if err != nil {
		return nil, err
	}
	img, err := conf.Image(ref, remote.WithPlatform(v1.Platform{OS: "linux", Architecture: "riscv64"}))
	if err != nil {
		return nil, err
	}
	if err := validate.Image(img); err != nil {
		return nil, err
	}
	return img.Digest()
}

// source is one place that podman tries.
type source struct {
	Reference string
	Insecure  bool
}

func sources(dir, name string) ([]source, error) {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, err
	}
	r, err := sysregistriesv2.FindRegistry(&types.SystemContext{
		SystemRegistriesConfPath:    filepath.Join(dir, "registries.conf"),
		SystemRegistriesConfDirPath: filepath.Join(dir, "registries.conf.d"),
	}, ref.Name())
	if err != nil || r == nil {
		return nil, err
	}
	pulls, err := r.PullSourcesFromReference(reference.TagNameOnly(ref))
	if err != nil {
		return nil, err
	}
	var all []source
	for _, p := range pulls {
		all = append(all, source{p.Reference.String(), p.Endpoint.Insecure})
	}
	return all, nil
}
