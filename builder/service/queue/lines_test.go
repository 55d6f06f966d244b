package queue

import (
	"slices"
	"strings"
	"testing"
)

func TestLines(t *testing.T) {
	long := strings.Repeat("é", maxPiece) // 2 bytes each
	for name, c := range map[string]struct{ in, out []string }{
		"whole lines stay together": {[]string{"a\nb\n"}, []string{"a\nb\n"}},
		"parts are joined":          {[]string{"a", "b", "c\nd"}, []string{"abc\n", "d"}},
		"a long line is cut":        {[]string{"x" + long + "\n"}, []string{"x" + long[:maxPiece-2], long[maxPiece-2 : 2*maxPiece-2], long[2*maxPiece-2:] + "\n"}},
		"nothing":                   {[]string{""}, nil},
	} {
		l, got := lines{}, []string(nil)
		for _, s := range c.in {
			got = append(got, l.add(stream{}, []byte(s))...)
		}
		for _, s := range l.rest() {
			got = append(got, s)
		}
		if !slices.Equal(got, c.out) || len(l) > 0 {
			t.Errorf("%s: %d pieces: %.100q", name, len(got), got)
		}
	}
}
