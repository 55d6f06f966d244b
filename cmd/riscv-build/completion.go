package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/pusher/clients"
	"github.com/riscv-build/riscv-build/recipes"
)

var shells = map[string]func(io.Writer, []verbWords){
	"bash": bashCompletion,
	"zsh":  zshCompletion,
	"fish": fishCompletion,
}

func completionCommand() *cli.Command {
	return &cli.Command{
		Name: "completion", Usage: "print a completion script for a shell", ArgsUsage: "bash|zsh|fish",
		Description: "bash: source <(riscv-build completion bash)\nzsh:  source <(riscv-build completion zsh)\nfish: riscv-build completion fish | source",
		Action: func(c *cli.Context) error {
			script, ok := shells[c.Args().First()]
			if c.NArg() != 1 || !ok {
				return usagef("printing a completion script for %q: name one of bash, zsh, fish", strings.Join(c.Args().Slice(), " "))
			}
			script(c.App.Writer, completionWords(c.App.Commands))
			return nil
		},
	}
}

// verbWords is what may follow a verb.
type verbWords struct {
	verb  string
	usage string
	flags []flagWords
	words []string // arguments besides files
}

type flagWords struct {
	name, usage string
	value       bool
}

// completionWords collects verbs, flags and arguments from the command line's
// own description.
func completionWords(commands []*cli.Command) []verbWords {
	var all []verbWords
	for _, c := range commands {
		v := verbWords{verb: c.Name, usage: c.Usage, flags: commandFlags(c.Flags)}
		for _, s := range c.Subcommands {
			v.words = append(v.words, s.Name)
			v.flags = append(v.flags, commandFlags(s.Flags)...)
		}
		switch {
		case strings.Contains(c.ArgsUsage, "NAME"):
			v.words = recipes.Catalog()
		case c.Name == "completion":
			v.words = []string{"bash", "zsh", "fish"}
		case c.Name == "configure":
			v.words = clients.Names()
		}
		slices.SortFunc(v.flags, func(a, b flagWords) int { return cmp.Compare(a.name, b.name) })
		v.flags = slices.CompactFunc(v.flags, func(a, b flagWords) bool { return a.name == b.name })
		all = append(all, v)
	}
	return all
}

func commandFlags(flags []cli.Flag) []flagWords {
	var all []flagWords
	for _, f := range flags {
		usage := ""
		if d, ok := f.(cli.DocGenerationFlag); ok {
			usage = strings.ReplaceAll(d.GetUsage(), "`", "")
		}
		all = append(all, flagWords{name: f.Names()[0], usage: usage, value: takesValue(f)})
	}
	return all
}

// line joins all words that may follow the verb.
func (v verbWords) line() string {
	words := slices.Clone(v.words)
	for _, f := range v.flags {
		words = append(words, "--"+f.name)
	}
	return strings.Join(words, " ")
}

func bashCompletion(w io.Writer, verbs []verbWords) {
	fmt.Fprint(w, "_riscv_build() {\n  local cur=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]} words\n  case $verb in\n")
	var names []string
	build := ""
	for _, v := range verbs {
		names = append(names, v.verb)
		if v.verb == defaultVerb {
			build = v.line()
		}
		fmt.Fprintf(w, "    %s) words=%q ;;\n", v.verb, v.line())
	}
	fmt.Fprintf(w, "    *) words=%q ;;\n  esac\n", build)
	fmt.Fprintf(w, "  [ \"$COMP_CWORD\" = 1 ] && words=%q\n", strings.Join(names, " ")+" "+build)
	fmt.Fprint(w, "  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\") $(compgen -f -- \"$cur\"))\n}\n"+
		"complete -o filenames -F _riscv_build riscv-build\n")
}

func zshCompletion(w io.Writer, verbs []verbWords) {
	fmt.Fprint(w, "#compdef riscv-build\nautoload -U +X bashcompinit && bashcompinit\n")
	bashCompletion(w, verbs)
}

func fishCompletion(w io.Writer, verbs []verbWords) {
	for _, v := range verbs {
		fmt.Fprintf(w, "complete -c riscv-build -n __fish_use_subcommand -a %s -d %s\n", v.verb, fishQuote(v.usage))
		seen := "'__fish_seen_subcommand_from " + v.verb + "'"
		if len(v.words) > 0 {
			fmt.Fprintf(w, "complete -c riscv-build -n %s -a %s\n", seen, fishQuote(strings.Join(v.words, " ")))
		}
		for _, f := range v.flags {
			value := ""
			if f.value {
				value = " -r"
			}
			fmt.Fprintf(w, "complete -c riscv-build -n %s -l %s%s -d %s\n", seen, f.name, value, fishQuote(f.usage))
		}
	}
}

func fishQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
}
