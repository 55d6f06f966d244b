package web

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Sizes of a drawing, in its own units.
const (
	boxWidth  = 184
	boxHeight = 44
	gapX      = 44
	gapY      = 12
	margin    = 8
	labelSize = 25 // characters that fit into a box

	maxBoxes  = 150 // more are no picture any more
	alike     = 3   // so many steps that differ in nothing but their name are one box
	drawSweep = 2
)

// drawing is a graph as a picture: what comes first on the left.
type drawing struct {
	Width, Height int
	Boxes         []*box
	Lines         []string // paths
}

// box is a step, or several that stand at the same place in the graph.
type box struct {
	X, Y    int
	Label   string
	Title   string
	State   string
	Seconds float64
	Count   int // steps
	ID      string

	inputs, users []*box
	layer         int
	place         float64
}

// draw lays out a graph; nil where there is nothing to see.
func draw(steps []stepView) *drawing {
	boxes := boxesOf(steps)
	if len(boxes) < 2 || len(boxes) > maxBoxes {
		return nil
	}
	layers := layered(boxes)
	d := &drawing{Boxes: boxes}
	tallest := 0
	for _, l := range layers {
		tallest = max(tallest, len(l))
	}
	d.Width = 2*margin + len(layers)*(boxWidth+gapX) - gapX
	d.Height = 2*margin + tallest*(boxHeight+gapY) - gapY
	for i, layer := range layers {
		top := margin + (tallest-len(layer))*(boxHeight+gapY)/2
		for k, b := range layer {
			b.X, b.Y = margin+i*(boxWidth+gapX), top+k*(boxHeight+gapY)
		}
	}
	for _, b := range boxes {
		for _, in := range b.inputs {
			x1, y1, x2, y2 := in.X+boxWidth, in.Y+boxHeight/2, b.X, b.Y+boxHeight/2
			d.Lines = append(d.Lines, fmt.Sprintf("M%d %dC%d %d %d %d %d %d", x1, y1, x1+gapX/2, y1, x2-gapX/2, y2, x2, y2))
		}
	}
	return d
}

// boxesOf puts steps with the same inputs and the same users into one box.
func boxesOf(steps []stepView) []*box {
	users := map[string][]string{}
	for _, st := range steps {
		for _, in := range st.Inputs {
			users[in] = append(users[in], st.Digest)
		}
	}
	places := map[string][]stepView{}
	place := func(st stepView) string {
		in, out := slices.Sorted(slices.Values(st.Inputs)), slices.Sorted(slices.Values(users[st.Digest]))
		return strings.Join(in, " ") + "|" + strings.Join(out, " ")
	}
	for _, st := range steps {
		places[place(st)] = append(places[place(st)], st)
	}
	var boxes []*box
	of := map[string]*box{}
	for _, st := range steps {
		group := places[place(st)]
		switch {
		case of[st.Digest] != nil:
			continue
		case len(group) < alike:
			group = []stepView{st}
		}
		b := newBox(group)
		boxes = append(boxes, b)
		for _, member := range group {
			of[member.Digest] = b
		}
	}
	for _, st := range steps {
		b := of[st.Digest]
		for _, in := range st.Inputs {
			if from := of[in]; from != nil && from != b && !slices.Contains(b.inputs, from) {
				b.inputs, from.users = append(b.inputs, from), append(from.users, b)
			}
		}
	}
	return boxes
}

// urgency orders states: a box of many steps is in the state one must know of.
var urgency = []string{stepCached, stepDone, stepSkipped, stepWaiting, stepRunning, stepFailed}

func newBox(group []stepView) *box {
	first := group[0]
	b := &box{Label: fit(first.Name), Title: first.Name, State: first.State, ID: first.ID, Count: len(group)}
	for i, st := range group {
		b.Seconds = max(b.Seconds, st.Seconds)
		if slices.Index(urgency, st.State) > slices.Index(urgency, b.State) {
			b.State = st.State
		}
		if i > 0 {
			b.Title += ", " + st.Name
		}
	}
	return b
}

// fit shortens a name for a box; wide characters count as two.
func fit(name string) string {
	width, short := 0, ""
	for _, r := range name {
		width++
		if r >= 0x1100 {
			width++
		}
		if width > labelSize {
			return strings.TrimSpace(short) + "…"
		}
		short += string(r)
	}
	return short
}

// layered puts every box right of its inputs, and inputs of nothing close to
// their users; within a layer, near what it comes from.
func layered(boxes []*box) [][]*box {
	depth := map[*box]int{}
	var measure func(b *box) int
	measure = func(b *box) int {
		if d, ok := depth[b]; ok {
			return d
		}
		depth[b] = 0 // a circle, which a broken report could have, ends here
		deepest := 0
		for _, in := range b.inputs {
			deepest = max(deepest, measure(in)+1)
		}
		depth[b] = deepest
		return deepest
	}
	var layers [][]*box
	for _, b := range boxes {
		b.layer = measure(b)
	}
	for _, b := range boxes {
		if len(b.inputs) == 0 && len(b.users) > 0 {
			first := slices.MinFunc(b.users, func(x, y *box) int { return cmp.Compare(x.layer, y.layer) })
			b.layer = max(0, first.layer-1)
		}
		for len(layers) <= b.layer {
			layers = append(layers, nil)
		}
		layers[b.layer] = append(layers[b.layer], b)
	}
	for range drawSweep {
		sweep(layers)
	}
	return layers
}

// sweep sorts each layer by the middle of what its boxes are joined to.
func sweep(layers [][]*box) {
	for _, layer := range layers {
		for i, b := range layer {
			b.place = float64(i) - float64(len(layer)-1)/2
		}
	}
	for _, layer := range layers {
		middle := map[*box]float64{}
		for _, b := range layer {
			joined := slices.Concat(b.inputs, b.users)
			for _, other := range joined {
				middle[b] += other.place / float64(len(joined))
			}
		}
		slices.SortStableFunc(layer, func(x, y *box) int { return cmp.Compare(middle[x], middle[y]) })
		for i, b := range layer {
			b.place = float64(i) - float64(len(layer)-1)/2
		}
	}
}

// TextX, NameY and SubY are where the words of a box begin.
func (b *box) TextX() int { return b.X + 10 }

// NameY is the base line of the name.
func (b *box) NameY() int { return b.Y + 19 }

// SubY is the base line of the words below it.
func (b *box) SubY() int { return b.Y + 35 }
