package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder/display"
	"github.com/riscv-build/riscv-build/builder/engine/remote"
	"github.com/riscv-build/riscv-build/cmd/riscv-build/config"
)

// modes are the values of --mode.
var modes = []string{"auto", "cross", "emulate", "native"}

// flags joins groups of flags.
func flags(groups ...[]cli.Flag) []cli.Flag {
	var all []cli.Flag
	for _, g := range groups {
		all = append(all, g...)
	}
	return all
}

// Groups of flags that several verbs share.
func stateFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "state-dir", Usage: "keep downloads, caches and build roots in `DIR` (also " + config.EnvStateDir + ")"},
		&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "say what is decided and why: mode, engine, mirror, cache hits"},
	}
}

func progressFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "progress", Value: "auto", Usage: "show progress as `MODE`: " + strings.Join(display.Modes, ", ")},
	}
}

func archiveFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "mirror", Usage: "fetch packages from the Debian archive at `URL`; one that ends in -security is the security archive (may be repeated)"},
		&cli.StringFlag{Name: "keyring", Usage: "trust the archive keys in `FILE` instead of the built-in ones"},
	}
}

func recipeFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "mode", Value: "auto", Usage: "build in `MODE`: " + strings.Join(modes, ", ")},
		&cli.BoolFlag{Name: "locked", Usage: "fail if the lock is missing or stale, instead of resolving packages"},
	}
}

func containerdFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "containerd", Usage: "use the containerd at `SOCKET[,namespace=NS]|none` instead of the first that answers of the system's and K3s's (also " + config.EnvContainerd + ")"},
	}
}

func engineFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "engine", Usage: "build with the engine at `URL`: " + config.EngineAuto + " (default), " + config.EngineEmbedded + ", " + strings.Join(remote.Forms(), ", ") + " (also " + config.EnvEngine + ")"},
		&cli.StringFlag{Name: "engine-tls", Usage: "secure tcp:// with ca.pem, cert.pem and key.pem of `DIR` (also " + config.EnvEngineTLS + ")"},
	}
}

func jsonFlag() cli.Flag {
	return &cli.BoolFlag{Name: "json", Usage: "print one JSON document on standard output"}
}

func indexFlag() cli.Flag {
	return &cli.BoolFlag{Name: "index", Usage: "put the image into the multi-platform index at the tag, beside the other platforms"}
}

func changedFlag() cli.Flag {
	return &cli.BoolFlag{Name: "changed", Usage: "leave out what the registries of --push hold already, made from the same recipe, files, lock entries and program"}
}

func registryFlag() cli.Flag {
	return &cli.StringFlag{Name: "registry", Usage: "ask the private registry `HOST[:PORT][/PREFIX]` (default: that of the configuration)"}
}

func jobsFlag() cli.Flag {
	return &cli.IntFlag{Name: "jobs", Usage: "run `N` compilers at a time (0: by processors and memory)"}
}

// checkChoice refuses a value that a flag does not have.
func checkChoice(flag, value string, choices []string) error {
	if slices.Contains(choices, value) {
		return nil
	}
	advice := "use one of " + strings.Join(choices, ", ")
	if near := nearest(value, choices); near != "" {
		advice = "did you mean \"" + near + "\"?"
	}
	return usagef("reading --%s %q: there is no such value: %s", flag, value, advice)
}
