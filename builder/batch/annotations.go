package batch

import (
	"fmt"
	"io"
	"strings"
)

// WriteAnnotations writes workflow commands by which GitHub shows what failed
// at the recipe it failed in. path turns a recipe's file into its path in the
// repository; "" for one that is not there.
func (r *Report) WriteAnnotations(w io.Writer, path func(file string) string) error {
	for _, e := range r.Recipes {
		var all []annotation
		switch {
		case e.Outcome == Failed && len(e.Problems) > 0:
			for _, p := range e.Problems {
				all = append(all, annotation{"error", path(p.File), p.Line, e.title(), p.What + ": " + p.Do})
			}
		case e.Outcome == Failed && len(e.failedTests()) > 0:
			for _, t := range e.failedTests() {
				all = append(all, annotation{"error", path(e.File), 0, e.title() + ": test " + t.Name, plain(t.Output)})
			}
		case e.Outcome == Failed:
			all = append(all, annotation{"error", path(e.File), 0, e.title() + ": stage " + e.Stage, plain(e.Error)})
		case e.Outcome == Blocked:
			all = append(all, annotation{"warning", path(e.File), 0, e.title() + ": " + string(e.Outcome), e.Why})
		}
		for _, note := range e.Notes {
			all = append(all, annotation{"notice", path(e.File), 0, e.title(), note})
		}
		for _, a := range all {
			if _, err := fmt.Fprintln(w, a); err != nil {
				return err
			}
		}
	}
	return nil
}

// annotation is a workflow command error, warning or notice.
type annotation struct {
	kind, file string
	line       int
	title      string
	message    string
}

// In a command's text % and line ends, in its properties separators too, are
// written as actions/toolkit's core/command.ts does.
var (
	escapeText     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	escapeProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

// String is the line that GitHub reads.
func (a annotation) String() string {
	var properties []string
	if a.file != "" {
		properties = append(properties, "file="+escapeProperty.Replace(a.file))
		if a.line > 0 {
			properties = append(properties, fmt.Sprintf("line=%d", a.line))
		}
	}
	properties = append(properties, "title="+escapeProperty.Replace(a.title))
	return "::" + a.kind + " " + strings.Join(properties, ",") + "::" + escapeText.Replace(a.message)
}
