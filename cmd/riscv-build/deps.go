//go:build deps

package main

import (
	_ "github.com/BurntSushi/toml"
	_ "github.com/ProtonMail/go-crypto/openpgp"
	_ "github.com/agext/levenshtein"
	_ "github.com/containerd/containerd/v2/plugins/content/local"
	_ "github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	_ "github.com/gofrs/flock"
	_ "github.com/klauspost/compress/gzip"
	_ "github.com/moby/buildkit/client"
	_ "github.com/moby/buildkit/client/llb"
	_ "github.com/moby/buildkit/control"
	_ "github.com/moby/buildkit/util/progress/progressui"
	_ "github.com/moby/buildkit/worker/runc"
	_ "github.com/opencontainers/image-spec/specs-go/v1"
	_ "github.com/ulikunitz/xz"
	_ "github.com/urfave/cli/v2"
	_ "oras.land/oras-go/v2"
	_ "pault.ag/go/debian/version"
)
