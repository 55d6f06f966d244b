package main

import (
	"errors"
	"io"
	"net"
	"net/url"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder/engine/remote"
)

func engineCommand() *cli.Command {
	return &cli.Command{
		Name: "engine", Usage: "find and try engines; serve one to others, on this machine or in a container",
		Subcommands: []*cli.Command{
			engineListCommand(), engineCheckCommand(), engineServeCommand(), engineUpCommand(), engineDownCommand(), engineImageCommand(),
			engineDialCommand(), enginePrepareCommand(),
		},
		Action: func(c *cli.Context) error {
			return usagef("running engine %q: there is no such verb: see `riscv-build engine --help`", c.Args().First())
		},
	}
}

func engineDialCommand() *cli.Command {
	return &cli.Command{
		Name: "dial-stdio", Usage: "connect standard input and output to an engine of this machine", Hidden: true,
		Description: "Connections through ssh and into containers run this, under the name buildctl.",
		Flags:       []cli.Flag{addressFlag()},
		Action:      dialStdio,
	}
}

func addressFlag() cli.Flag {
	return &cli.StringFlag{Name: "addr", Value: "unix://" + remote.DefaultSocket, Usage: "the engine listens at `unix:///SOCKET|tcp://HOST:PORT`"}
}

// listenAddress reads --addr.
func listenAddress(c *cli.Context) (network, address string, err error) {
	a, err := remote.ParseAddress(c.String("addr"))
	if err != nil || a.Kind() != "unix" && a.Kind() != "tcp" {
		return "", "", usagef("reading --addr %q: write unix:///SOCKET or tcp://HOST:PORT", c.String("addr"))
	}
	u, err := url.Parse(a.String())
	if err != nil {
		return "", "", usageError{err}
	}
	if a.Kind() == "unix" {
		return "unix", u.Path, nil
	}
	return "tcp", u.Host, nil
}

// buildctlArgs are the arguments of this program for those of a buildctl, which
// this program stands for where that is its name.
func buildctlArgs(args []string) []string {
	return append([]string{"riscv-build", "engine"}, args[1:]...)
}

// dialStdio hands on bytes in both directions until one side ends.
func dialStdio(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	network, address, err := listenAddress(c)
	if err != nil {
		return err
	}
	conn, err := net.Dial(network, address)
	if err != nil {
		return environmentError{err}
	}
	defer conn.Close()
	sent, received := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := io.Copy(conn, os.Stdin)
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			err = errors.Join(err, half.CloseWrite())
		}
		sent <- err
	}()
	go func() {
		_, err := io.Copy(os.Stdout, conn)
		received <- err
	}()
	select {
	case <-c.Context.Done():
		return nil
	case err := <-sent:
		if err != nil {
			return err
		}
	case err := <-received:
		return err
	}
	return <-received
}
