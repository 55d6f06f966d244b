package recipes

import (
	"maps"
	"slices"
	"testing"

	"github.com/BurntSushi/toml"
)

const linesDoc = `# comment with [brackets] and key = "value"
a = 1
"b c" = "x # no comment"	# comment
'd.e'.f = 'C:\'

[t]
text = """
[no.table]
key = 1 \""" ""\
"""
raw = '''
x = ''
'''
after = true
list = [ # comment ]
  "one", 'two]', # two
  [3, 4],
  { k = [1,
    2], "q.r".s = {} },
]
date = 1979-05-27 07:32:00
[[t.u]]
v = 1
[t.u.w]
x = 1
[[t.u]]
v = 2
[[t.u.w2]]
y.z = 3
["\u0074".sub]
k = 1
`

func TestKeyLines(t *testing.T) {
	var tree map[string]any
	if _, err := toml.Decode(linesDoc, &tree); err != nil {
		t.Fatalf("the document of the test is not TOML: %v", err)
	}
	want := map[string]int{
		"a": 2, `"b c"`: 3, `"d.e"`: 4, `"d.e".f`: 4,
		"t": 6, "t.text": 7, "t.raw": 11, "t.after": 14,
		"t.list": 15, "t.list[0]": 16, "t.list[1]": 16, "t.list[2]": 17, "t.list[2][0]": 17, "t.list[2][1]": 17,
		"t.list[3]": 18, "t.list[3].k": 18, "t.list[3].k[0]": 18, "t.list[3].k[1]": 19,
		`t.list[3]."q.r"`: 19, `t.list[3]."q.r".s`: 19,
		"t.date": 21, "t.u": 22, "t.u[0]": 22, "t.u[0].v": 23, "t.u[0].w": 24, "t.u[0].w.x": 25,
		"t.u[1]": 26, "t.u[1].v": 27, "t.u[1].w2": 28, "t.u[1].w2[0]": 28, "t.u[1].w2[0].y": 29, "t.u[1].w2[0].y.z": 29,
		"t.sub": 30, "t.sub.k": 31,
	}
	got := keyLines(linesDoc)
	for _, path := range slices.Sorted(maps.Keys(want)) {
		if got[path] != want[path] {
			t.Errorf("%s is in line %d, want %d", path, got[path], want[path])
		}
	}
	for _, path := range slices.Sorted(maps.Keys(got)) {
		if want[path] == 0 {
			t.Errorf("found %s in line %d, which is not there", path, got[path])
		}
	}
}

func TestLineOf(t *testing.T) {
	lines := map[string]int{"image": 3, "image.file[1]": 9, `image."a.b[0]"`: 12}
	for path, want := range map[string]int{
		"image.file[1].path": 9, "image.file[0].path": 3, `image."a.b[0]".c`: 12, "name": 1, "": 1, `image."x\".y".z`: 3,
	} {
		if got := LineOf(lines, path); got != want {
			t.Errorf("LineOf(%s) = %d, want %d", path, got, want)
		}
	}
}

func TestKeysNeedNoCRLFCare(t *testing.T) {
	lines := keyLines("a = 1\r\n[b]\r\nc = \"\"\"\r\nx\r\n\"\"\"\r\nd = 2\r\n")
	if lines["b.d"] != 6 || lines["b"] != 2 {
		t.Errorf("lines are %v", lines)
	}
}
