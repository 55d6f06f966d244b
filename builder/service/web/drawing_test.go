package web

import (
	"fmt"
	"testing"
)

func TestDraw(t *testing.T) {
	steps := []stepView{
		{Digest: "tools", Name: "tools"}, {Digest: "src", Name: "src"},
		{Digest: "unpack", Name: "unpack", Inputs: []string{"tools", "src"}, State: stepDone},
		{Digest: "make", Name: "make", Inputs: []string{"tools", "unpack"}, State: stepRunning},
		{Digest: "install", Name: "install", Inputs: []string{"tools", "make"}},
	}
	for i := range 40 {
		part := fmt.Sprintf("part%d", i)
		steps = append(steps, stepView{Digest: part, Name: part, State: stepCached})
		steps[3].Inputs = append(steps[3].Inputs, part)
	}
	d := draw(steps)
	if d == nil || len(d.Boxes) != 6 {
		t.Fatalf("drawn: %+v", d)
	}
	x := map[string]int{}
	for i, b := range d.Boxes {
		x[b.Title] = b.X
		if b.Count == 40 {
			x["parts"] = b.X
		}
		if b.X < 0 || b.Y < 0 || b.X+boxWidth > d.Width || b.Y+boxHeight > d.Height {
			t.Errorf("%s is outside", b.Title)
		}
		for _, other := range d.Boxes[:i] {
			if b.X == other.X && max(b.Y, other.Y)-min(b.Y, other.Y) < boxHeight {
				t.Errorf("%s is on %s", b.Title, other.Title)
			}
		}
	}
	if !(x["tools"] < x["unpack"] && x["unpack"] < x["make"] && x["make"] < x["install"] && x["parts"] == x["unpack"]) {
		t.Errorf("places: %v", x)
	}
	if circle := draw([]stepView{{Digest: "a", Inputs: []string{"b"}}, {Digest: "b", Inputs: []string{"a"}}}); circle == nil {
		t.Error("a circle is not drawn")
	}
	if draw(steps[:1]) != nil {
		t.Error("one step was drawn")
	}
}
