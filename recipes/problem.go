package recipes

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a file, where it stands and what to
// do about it.
type Problem struct {
	File string // as the user gave it
	Line int    // starting at 1; 0 when the file as a whole is meant
	What string // a phrase that quotes the object: `name "Foo" is no valid name`
	Do   string // an instruction: `use small letters`
	// Warning marks a problem that does not keep a recipe from being built.
	Warning bool
}

// Error renders the problem as "file:line: what: do".
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	b.WriteString(": ")
	if p.Warning {
		b.WriteString("warning: ")
	}
	b.WriteString(p.What)
	if p.Do != "" {
		b.WriteString(": " + p.Do)
	}
	return b.String()
}

// Problems are all the problems of a file. It is the error of Load, Parse and
// LoadCatalog: a caller that wants single ones uses errors.As.
type Problems []Problem

// Error prints one problem a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// sorted puts problems into the order of the file, each once.
func (ps Problems) sorted() Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return slices.Compact(ps)
}

// Err returns the problems in the order of the file as an error, and nil if
// there are none.
func (ps Problems) Err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps.sorted()
}
