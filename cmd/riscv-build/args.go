package main

import (
	"slices"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/urfave/cli/v2"
)

// defaultVerb is what is done without a verb.
const defaultVerb = "build"

// arrange gives the arguments the order that the command line library wants:
// verb, flags, "--", arguments. So flags may stand anywhere, a verb may be left
// out, and an argument after "--" is never taken for a flag or a verb.
func arrange(app *cli.App, args []string) ([]string, error) {
	if len(args) == 2 && args[1] == "--version" {
		return []string{args[0], "version"}, nil
	}
	if len(args) < 2 {
		return args, usagef("running riscv-build without arguments: name a recipe, or see `riscv-build --help`")
	}
	flags, names, rest := split(args[1:], flagsOf(app, args[1]))
	if len(names) > 0 && names[0] == "help" {
		names, flags = names[1:], append(flags, []string{"--help"})
	}
	path, names := verb(app, flags, names)
	if path == nil {
		return []string{args[0], "--help"}, nil
	}
	if err := refuseFlags(app, path, flags); err != nil {
		return args, err
	}
	out := append([]string{args[0]}, path...)
	if hasFlag(flags, "help", "h") {
		return append(out, "--help"), nil
	}
	for _, f := range flags {
		out = append(out, f...)
	}
	out = append(out, "--")
	return append(append(out, names...), rest...), nil
}

// flagsOf tells which flags take a value. Where the verb stands first, its own
// count; before one is known, those of all.
func flagsOf(app *cli.App, first string) map[string]bool {
	takes := valueFlags(app.Commands)
	if c := find(app.Commands, first); c != nil {
		for _, f := range c.Flags {
			for _, name := range f.Names() {
				takes[name] = takesValue(f)
			}
		}
	}
	return takes
}

// split takes flags, each with its value, apart from arguments before and
// after "--".
func split(args []string, takesValue map[string]bool) (flags [][]string, names, rest []string) {
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--":
			return flags, names, args[i+1:]
		case len(arg) < 2 || arg[0] != '-':
			names = append(names, arg)
		case takesValue[strings.TrimLeft(arg, "-")] && i+1 < len(args) && args[i+1] != "--":
			flags = append(flags, []string{arg, args[i+1]})
			i++
		default:
			flags = append(flags, []string{arg})
		}
	}
	return flags, names, nil
}

// verb finds which command is meant, and what is left as its arguments. Nil:
// the program itself, for its help.
func verb(app *cli.App, flags [][]string, names []string) (path, arguments []string) {
	help := hasFlag(flags, "help", "h")
	switch {
	case len(names) == 0 && help:
		return nil, nil
	case len(names) == 0:
		return []string{defaultVerb}, nil
	}
	commands := app.Commands
	if find(commands, names[0]) == nil && find(buildsVerbs(app), names[0]) != nil {
		names = append([]string{buildsVerb}, names...)
	}
	for len(names) > 0 {
		c := find(commands, names[0])
		if c == nil {
			break
		}
		path, names, commands = append(path, c.Name), names[1:], c.Subcommands
	}
	if path == nil {
		path = []string{defaultVerb}
	}
	return path, names
}

// buildsVerbs are the verbs that may be written without "builds".
func buildsVerbs(app *cli.App) []*cli.Command {
	if c := find(app.Commands, buildsVerb); c != nil {
		return c.Subcommands
	}
	return nil
}

func find(commands []*cli.Command, name string) *cli.Command {
	for _, c := range commands {
		if c.HasName(name) {
			return c
		}
	}
	return nil
}

func hasFlag(flags [][]string, names ...string) bool {
	return slices.ContainsFunc(flags, func(f []string) bool { return slices.Contains(names, flagName(f[0])) })
}

func flagName(arg string) string {
	name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
	return name
}

// valueFlags are the names of all flags that take a value. A test holds that a
// name means the same for every verb.
func valueFlags(commands []*cli.Command) map[string]bool {
	takes := map[string]bool{}
	for _, c := range commands {
		for _, f := range c.Flags {
			if takesValue(f) {
				for _, name := range f.Names() {
					takes[name] = true
				}
			}
		}
		for name := range valueFlags(c.Subcommands) {
			takes[name] = true
		}
	}
	return takes
}

// takesValue tells whether what follows a flag may be its value.
func takesValue(f cli.Flag) bool {
	switch f := f.(type) {
	case *cli.BoolFlag:
		return false
	case *cli.GenericFlag:
		b, ok := f.Value.(interface{ IsBoolFlag() bool })
		return !ok || !b.IsBoolFlag()
	}
	return true
}

// refuseFlags reports a flag that the command does not have, with the nearest
// that it has, and one without the value it takes, which would swallow "--".
func refuseFlags(app *cli.App, path []string, flags [][]string) error {
	commands := app.Commands
	var command *cli.Command
	for _, name := range path {
		command = find(commands, name)
		commands = command.Subcommands
	}
	takesValue := valueFlags([]*cli.Command{command})
	known := []string{"help", "h"}
	for _, f := range command.Flags {
		known = append(known, f.Names()...)
	}
	for _, f := range flags {
		name := flagName(f[0])
		if slices.Contains(known, name) {
			if len(f) == 1 && takesValue[name] && !strings.Contains(f[0], "=") {
				return usagef("reading flag %q of verb %q: it needs a value: see `riscv-build %s --help`", f[0], strings.Join(path, " "), strings.Join(path, " "))
			}
			continue
		}
		advice := "see `riscv-build " + strings.Join(path, " ") + " --help`"
		if near := nearest(name, known); near != "" {
			advice = "did you mean \"--" + near + "\"?"
		}
		return usagef("reading flag %q of verb %q: it has no such flag: %s", f[0], strings.Join(path, " "), advice)
	}
	return nil
}

// nearest is the known word that a misspelt one probably means; "" if none is near.
func nearest(word string, known []string) string {
	best, distance := "", min(max(2, len(word)/3), len(word)-1)+1
	for _, k := range known {
		if d := levenshtein.Distance(word, k, nil); d < distance {
			best, distance = k, d
		}
	}
	return best
}
