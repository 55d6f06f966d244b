package main

import (
	"io"

	"github.com/urfave/cli/v2"
)

// newApp is the command line: one verb per file.
func newApp(stdout, stderr io.Writer) *cli.App {
	app := &cli.App{
		Name:      "riscv-build",
		Usage:     "build tested riscv64 container images from recipes",
		UsageText: "riscv-build [VERB] [FLAGS] [ARGUMENTS]\nriscv-build nginx --push 192.168.1.5:6000   builds a recipe of the catalogue and pushes it",
		Writer:    stdout,
		ErrWriter: stderr,

		DisableSliceFlagSeparator: true,
		HideVersion:               true,
		HideHelpCommand:           true,
		ExitErrHandler:            func(*cli.Context, error) {}, // run decides
		OnUsageError:              usageProblem,
		Commands: []*cli.Command{
			buildCommand(), batchCommand(), serveCommand(), buildsCommand(), lockCommand(), outdatedCommand(), fetchCommand(), graphCommand(), checkCommand(), pushCommand(), copyCommand(),
			loadCommand(), runCommand(),
			registryCommand(), searchCommand(), auditCommand(), k3sCommand(), configureCommand(), validateCommand(), initCommand(), catalogCommand(),
			cacheCommand(), engineCommand(), doctorCommand(), schemaCommand(), versionCommand(), completionCommand(),
		},
	}
	prepare(app.Commands)
	return app
}

// prepare gives every command what all have.
func prepare(commands []*cli.Command) {
	for _, c := range commands {
		c.OnUsageError = usageProblem
		c.HideHelpCommand = true
		prepare(c.Subcommands)
	}
}

func usageProblem(_ *cli.Context, err error, _ bool) error {
	return usagef("reading the command line: %w: see --help", err)
}

// noArguments refuses arguments that a verb would ignore.
func noArguments(c *cli.Context) error {
	if c.Args().Present() {
		return usagef("reading argument %q: %q takes none", c.Args().First(), c.Command.Name)
	}
	return nil
}
