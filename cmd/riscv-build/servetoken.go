package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder/service/access"
)

func serveTokenCommand() *cli.Command {
	file := &cli.StringFlag{Name: "token-file", Usage: "the tokens are in `FILE`"}
	return &cli.Command{
		Name: "token", Usage: "give tokens for the service, list them and take them back",
		Subcommands: []*cli.Command{
			{
				Name: "add", Usage: "make a token and print it: it is kept as a hash only and cannot be shown again", ArgsUsage: "NAME",
				Description: "read: see everything. build: submit, cancel and retry builds, too. admin: change schedules, too.\n" +
					"A service that runs reads the file again at SIGHUP.",
				Flags:  []cli.Flag{file, &cli.StringFlag{Name: "role", Usage: "the token lets do what `ROLE` may: " + strings.Join(roleNames(), ", ")}},
				Action: addToken,
			},
			{Name: "ls", Usage: "list names and roles", Flags: []cli.Flag{file}, Action: listTokens},
			{Name: "rm", Usage: "take a token back", ArgsUsage: "NAME", Flags: []cli.Flag{file}, Action: removeToken},
		},
		Action: func(c *cli.Context) error {
			return usagef("running serve token %q: there is no such verb: use one of add, ls, rm", c.Args().First())
		},
	}
}

func roleNames() []string {
	var names []string
	for _, r := range access.Roles {
		names = append(names, string(r))
	}
	return names
}

// tokenFile is --token-file, and the one argument of the verb.
func tokenFile(c *cli.Context, arguments int) (path, name string, err error) {
	path = c.String("token-file")
	switch {
	case path == "":
		err = usagef("reading --token-file: it is missing: name the file of the tokens, the one that `serve` has")
	case c.NArg() != arguments:
		err = usagef("running serve token %s with %d names: give %d", c.Command.Name, c.NArg(), arguments)
	}
	return path, c.Args().First(), err
}

func addToken(c *cli.Context) error {
	path, name, err := tokenFile(c, 1)
	if err != nil {
		return err
	}
	if err := checkChoice("role", c.String("role"), roleNames()); err != nil {
		return err
	}
	token, err := access.Add(path, name, access.Role(c.String("role")))
	if err != nil {
		return usageError{err}
	}
	_, err = fmt.Fprintln(c.App.Writer, token)
	return err
}

func removeToken(c *cli.Context) error {
	path, name, err := tokenFile(c, 1)
	if err != nil {
		return err
	}
	if err := access.Remove(path, name); err != nil {
		return usageError{err}
	}
	return nil
}

func listTokens(c *cli.Context) error {
	path, _, err := tokenFile(c, 0)
	if err != nil {
		return err
	}
	tokens, err := access.Load(path)
	if err != nil {
		return usageError{err}
	}
	w := tabwriter.NewWriter(c.App.Writer, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tROLE")
	for _, t := range tokens.List() {
		fmt.Fprintf(w, "%s\t%s\n", t.Name, t.Role)
	}
	return w.Flush()
}
