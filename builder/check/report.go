package check

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Severity says whether a finding keeps an image from being pushed.
type Severity string

// An error keeps the image back, a note does not.
const (
	SeverityError Severity = "error"
	SeverityNote  Severity = "note"
)

// Finding is one thing that the check found.
type Finding struct {
	Severity Severity `json:"severity"`
	Path     string   `json:"path,omitempty"` // in the image; empty: the image's configuration
	Rule     string   `json:"rule"`           // stable short name, e.g. "machine"
	What     string   `json:"what"`
	Do       string   `json:"do,omitempty"` // what to do about it
}

// String is one line: path, what, what to do.
func (f Finding) String() string {
	text := f.What
	if f.Path != "" {
		text = f.Path + " " + text
	}
	if f.Do != "" {
		text += ": " + f.Do
	}
	return text
}

// Report is the outcome of the check of one image.
type Report struct {
	Platform string    `json:"platform"` // os/architecture of the configuration
	Profile  string    `json:"profile"`  // ISA that the image was checked against
	Layers   int       `json:"layers"`
	Files    int       `json:"files"` // regular files, hard links counted once
	ELF      int       `json:"elf"`   // ELF files and archives of them among Files
	ISA      []string  `json:"isa"`   // ISA strings seen, short form, sorted
	Findings []Finding `json:"findings"`
}

// Err returns nil or an *Error with every finding that is an error.
func (r *Report) Err() error {
	var bad []Finding
	for _, f := range r.Findings {
		if f.Severity == SeverityError {
			bad = append(bad, f)
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return &Error{Findings: bad}
}

// Notes returns the findings that keep nothing back.
func (r *Report) Notes() []Finding {
	return slices.DeleteFunc(slices.Clone(r.Findings), func(f Finding) bool { return f.Severity != SeverityNote })
}

// finish puts the findings into their order: errors first, then by path.
func (r *Report) finish() {
	slices.SortFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.Path, b.Path),
			cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.What, b.What))
	})
	r.Findings = slices.Compact(r.Findings)
	slices.Sort(r.ISA)
	r.ISA = slices.Compact(r.ISA)
}

// Error says why an image must not be pushed.
type Error struct {
	Findings []Finding // all errors, sorted
}

// Error lists every finding, one a line.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "checking the image: %s", plural(len(e.Findings), "problem"))
	for _, f := range e.Findings {
		b.WriteString("\n  " + f.String())
	}
	return b.String()
}

// ExitCode is 1: the image is bad.
func (e *Error) ExitCode() int { return 1 }

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
