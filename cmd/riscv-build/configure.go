package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/pusher/clients"
)

func configureCommand() *cli.Command {
	return &cli.Command{
		Name: "configure", Usage: "print or write what clients need to use a registry", ArgsUsage: strings.Join(clients.Names(), "|") + "...",
		Description: "Prints the files, or with --write merges them into place: what is there is kept, and backed up if it\n" +
			"changes. Without a scheme and without --ca, local names and addresses are taken to speak plain HTTP, others HTTPS.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "registry", Usage: "the registry as image names write it, `HOST[:PORT]`; http:// or https:// before it says how it is spoken to"},
			&cli.StringFlag{Name: "ca", Usage: "verify the registry with the certificates in `FILE` (PEM)"},
			&cli.StringFlag{Name: "user", Usage: "pull as `USER`; the password comes from $" + clients.PasswordVariable},
			&cli.BoolFlag{Name: "password-stdin", Usage: "read the password from standard input"},
			&cli.StringSliceFlag{Name: "mirror", Usage: "take the images of a registry from another, `NAME=HOST[:PORT][/PREFIX]`: with docker.io=HOST/riscv64, nginx comes from HOST/riscv64/nginx (with a prefix of docker.io k3s and podman only; may be repeated)"},
			&cli.BoolFlag{Name: "write", Usage: "write the files instead of printing them"},
			&cli.StringFlag{Name: "root", Value: "/", Usage: "the files are below `DIR`, the root of a Linux system, such as a mounted SD card"},
			&cli.BoolFlag{Name: "rootless", Usage: "configure the user's own daemons instead of the system's"},
			jsonFlag(),
		},
		Action: configure,
	}
}

func configure(c *cli.Context) error {
	if c.String("registry") == "" {
		return usagef("configuring clients without a registry: give --registry HOST:PORT")
	}
	password, err := registryPassword(c)
	if err != nil {
		return err
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return environmentError{fmt.Errorf("finding the home directory: %w: set HOME", err)}
	}
	system := runtime.GOOS
	if c.IsSet("root") {
		system = "linux"
	}
	plan, err := clients.New(c.Args().Slice(), clients.Options{
		Registry: c.String("registry"), CAFile: c.String("ca"), User: c.String("user"), Password: password,
		Mirrors: c.StringSlice("mirror"), Root: c.String("root"), OS: system, Home: home, Rootless: c.Bool("rootless"),
	})
	if err != nil {
		return err
	}
	var written []clients.Backup
	if c.Bool("write") {
		if len(plan.Foreign) > 0 {
			return usagef("writing the configuration of %s: it does not run on macOS itself: run this in its Linux machine, or give --root", strings.Join(plan.Foreign, ", "))
		}
		if written, err = plan.Write(time.Now()); err != nil {
			return err
		}
	}
	if c.Bool("json") {
		writeJSON(c.App.Writer, configuration(plan, written))
		return nil
	}
	printPlan(c, plan, written)
	return nil
}

// registryPassword reads the password of --user. It is never an argument,
// which every process of the machine could read.
func registryPassword(c *cli.Context) (string, error) {
	switch {
	case c.Bool("password-stdin") && c.String("user") == "":
		return "", usagef("reading --password-stdin without an account: give --user too")
	case c.Bool("password-stdin"):
		text, err := io.ReadAll(io.LimitReader(c.App.Reader, 64<<10))
		if err != nil {
			return "", usagef("reading the password from standard input: %w: pipe it in", err)
		}
		password := strings.TrimRight(string(text), "\r\n")
		if password == "" || strings.ContainsAny(password, "\r\n") {
			return "", usagef("reading the password from standard input: it is not one line: pipe the password only")
		}
		return password, nil
	case c.String("user") != "":
		return os.Getenv(clients.PasswordVariable), nil
	}
	return "", nil
}

// fileReport is one file in the JSON document. Passwords are not shown.
type fileReport struct {
	Path    string `json:"path"`
	Changed bool   `json:"changed"`
	Mode    string `json:"mode"`              // octal
	Content string `json:"content,omitempty"` // of a new file
	Diff    string `json:"diff,omitempty"`    // to the file that is there
	Backup  string `json:"backup,omitempty"`  // where the file that was there is now
}

// clientsReport is what --json prints.
type clientsReport struct {
	Results []fileReport `json:"results"`
	Written bool         `json:"written"`
	Notes   []string     `json:"notes"`
	Restart []string     `json:"restart"`
}

func configuration(plan *clients.Plan, written []clients.Backup) clientsReport {
	r := clientsReport{Results: []fileReport{}, Written: len(written) > 0, Notes: append([]string{}, plan.Notes...), Restart: append([]string{}, plan.Restart...)}
	for _, f := range plan.Files {
		report := fileReport{Path: f.Path, Changed: f.Changed(), Mode: fmt.Sprintf("%04o", f.Mode), Diff: f.Diff()}
		if !f.Exists() {
			report.Content = f.Shown()
		}
		for _, w := range written {
			if w.Path == f.Path {
				report.Backup = w.Backup
			}
		}
		r.Results = append(r.Results, report)
	}
	return r
}

// printPlan prints the files, or which were written, on standard output; what
// differs, the notes and what is left to do on standard error.
func printPlan(c *cli.Context, plan *clients.Plan, written []clients.Backup) {
	out, errs := c.App.Writer, c.App.ErrWriter
	for _, f := range plan.Files {
		fmt.Fprint(errs, f.Diff())
	}
	for _, f := range plan.Files {
		switch {
		case !f.Changed():
			fmt.Fprintf(out, "unchanged %s\n", f.Path)
		case !c.Bool("write"):
			fmt.Fprintf(out, "==> %s (mode %04o)\n%s\n", f.Path, f.Mode, f.Shown())
		}
	}
	for _, w := range written {
		fmt.Fprintf(out, "wrote %s\n", w.Path)
		if w.Backup != "" {
			fmt.Fprintf(out, "  what was there: %s\n", w.Backup)
		}
	}
	for _, n := range plan.Notes {
		fmt.Fprintf(errs, "note: %s\n", n)
	}
	if len(plan.Restart) > 0 {
		when := "then:"
		if !c.Bool("write") {
			when = "nothing was written (--write); when the files are in place:"
		}
		fmt.Fprintln(errs, when)
		for _, r := range plan.Restart {
			fmt.Fprintf(errs, "  %s\n", r)
		}
	}
}
