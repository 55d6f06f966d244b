package check

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"github.com/riscv-build/riscv-build/recipes"
)

const (
	shownBytes = 200 // of a text that is quoted in a sentence
	shownLines = 10  // of a program's output
)

// mismatch says what of an expectation does not hold, "" if all does.
func mismatch(what string, want *recipes.Match, text []byte) string {
	if want == nil {
		return ""
	}
	return compare(what, [3]*string{want.Contains, want.Equals, want.Matches}, text)
}

// compare holds a text against contains, equals and matches, in this order.
func compare(what string, want [3]*string, text []byte) string {
	if s := want[0]; s != nil && !bytes.Contains(text, []byte(*s)) {
		return fmt.Sprintf("expected %s to contain %q, got %s", what, *s, shown(text))
	}
	if s := want[1]; s != nil && string(text) != *s {
		return fmt.Sprintf("expected %s to equal %q, got %s", what, *s, shown(text))
	}
	if s := want[2]; s != nil {
		re, err := regexp.Compile(*s)
		if err != nil {
			return fmt.Sprintf("expected %s to match %q, which is no regular expression (%v)", what, *s, err)
		}
		if !re.Match(text) {
			return fmt.Sprintf("expected %s to match %q, got %s", what, *s, shown(text))
		}
	}
	return ""
}

// shown quotes a text, or its beginning.
func shown(text []byte) string {
	if len(text) == 0 {
		return "nothing"
	}
	if len(text) > shownBytes {
		return fmt.Sprintf("%q and %d bytes more", text[:shownBytes], len(text)-shownBytes)
	}
	return fmt.Sprintf("%q", text)
}

// tail is the last lines of an output under a heading, "" if there are none.
func tail(name string, out []byte) string {
	text := strings.TrimRight(strings.ToValidUTF8(string(out), "?"), "\n")
	if text == "" {
		return ""
	}
	lines := strings.Split(text, "\n")
	heading := name
	if len(lines) > shownLines {
		lines = lines[len(lines)-shownLines:]
		heading = fmt.Sprintf("%s, last %d lines", name, shownLines)
	}
	return "\n  " + heading + ":\n    | " + strings.Join(lines, "\n    | ")
}
