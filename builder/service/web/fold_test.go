package web

import (
	"strings"
	"testing"
)

func TestFoldIsBounded(t *testing.T) {
	f := &fold{byID: map[string]*step{}}
	for _, name := range []string{"a", "b", "c", "d"} {
		f.print(f.step(name), strings.Repeat(strings.Repeat("x", 3000)+"\n", 5000))
	}
	kept := 0
	for _, st := range f.steps {
		if st.total != 5000 {
			t.Errorf("%s: %d lines", st.id, st.total)
		}
		for _, line := range st.lines {
			kept += len(line)
		}
	}
	if kept != f.bytes || kept > foldBytes {
		t.Errorf("%d bytes are kept, %d are counted", kept, f.bytes)
	}
	if last := f.byID["d"].tail(); len(last) != linesKept || !strings.HasSuffix(last[0], "x…") {
		t.Errorf("of the last step %d lines are kept", len(last))
	}
}
