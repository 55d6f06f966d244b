package batch

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// format is a form in which a report is written.
type format struct {
	ending string
	write  func(io.Writer, *Report) error
}

var formats = []format{{".json", writeJSON}, {".xml", writeJUnit}, {".md", writeMarkdown}}

// Endings are those of the names that a report can be written to.
func Endings() []string {
	var out []string
	for _, f := range formats {
		out = append(out, f.ending)
	}
	return out
}

// Write writes the report in the form that the ending of a file name asks for,
// one of Endings.
func (r *Report) Write(w io.Writer, file string) error {
	i := slices.IndexFunc(formats, func(f format) bool { return f.ending == filepath.Ext(file) })
	return formats[max(i, 0)].write(w, r)
}

func writeJSON(w io.Writer, r *Report) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// What of a recipe's log is put into a report, at most.
const (
	reportedLines = 50
	reportedBytes = 16 << 10
)

// terminal matches the control sequences of terminals (ECMA-48, CSI and OSC).
var terminal = regexp.MustCompile("\x1b(\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(\x07|\x1b\\\\))")

// lastLines gives the end of a recipe's log as plain text; "" without one.
func lastLines(path string) string {
	if path == "" {
		return ""
	}
	f, err := os.Open(path)
	if err != nil {
		return "" // pruned since
	}
	defer f.Close()
	if fi, err := f.Stat(); err == nil && fi.Size() > 2*reportedBytes {
		if _, err := f.Seek(-2*reportedBytes, io.SeekEnd); err != nil {
			return ""
		}
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return ""
	}
	return plain(string(text))
}

// plain is the end of a text without what only a terminal can show.
func plain(text string) string {
	text = terminal.ReplaceAllString(text, "")
	text = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	lines = lines[max(0, len(lines)-reportedLines):]
	for size := len(strings.Join(lines, "\n")); size > reportedBytes && len(lines) > 1; lines = lines[1:] {
		size -= len(lines[0]) + 1
	}
	return strings.Join(lines, "\n")
}

// failedTests are the tests of a recipe that did not pass.
func (e *Entry) failedTests() []Test {
	return slices.DeleteFunc(slices.Clone(e.Tests), func(t Test) bool { return t.Passed })
}

// title is a recipe's name with its version, where that is known.
func (e *Entry) title() string { return strings.TrimSpace(e.Name + " " + e.Version) }
