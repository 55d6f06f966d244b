package web

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Sizes of a drawing, in its own units.
const (
	boxWidth  = 204
	boxHeight = 44
	wayHeight = 6
	gapX      = 40
	gapY      = 12
	margin    = 8
	labelSize = 24 // characters that fit into a box

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
	way           bool // no step: a line passes here on its way to a later layer
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
	d := &drawing{Boxes: boxes, Width: 2*margin + len(layers)*(boxWidth+gapX) - gapX}
	tallest := 0
	for _, l := range layers {
		tallest = max(tallest, tall(l))
	}
	d.Height = 2*margin + tallest
	for i, layer := range layers {
		y := margin + (tallest-tall(layer))/2
		for _, b := range layer {
			b.X, b.Y = margin+i*(boxWidth+gapX), y
			y += b.height() + gapY
		}
	}
	for _, b := range slices.Concat(layers...) {
		d.join(b)
	}
	return d
}

// join draws what leads to a box, and through one that is only a way.
func (d *drawing) join(b *box) {
	y := b.Y + b.height()/2
	for _, in := range b.inputs {
		x, from := in.X+boxWidth, in.Y+in.height()/2
		d.Lines = append(d.Lines, fmt.Sprintf("M%d %dC%d %d %d %d %d %d", x, from, x+gapX/2, from, b.X-gapX/2, y, b.X, y))
	}
	if b.way {
		d.Lines = append(d.Lines, fmt.Sprintf("M%d %dH%d", b.X, y, b.X+boxWidth))
	}
}

func (b *box) height() int {
	if b.way {
		return wayHeight
	}
	return boxHeight
}

// tall is the height of a layer.
func tall(layer []*box) int {
	height := -gapY
	for _, b := range layer {
		height += b.height() + gapY
	}
	return height
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
	for _, b := range boxes {
		b.leadOn(layers)
	}
	for range drawSweep {
		sweep(layers)
	}
	return layers
}

// leadOn leads the line of a box that is used in later layers than the next
// through the layers between, so that it does not run across other boxes.
func (b *box) leadOn(layers [][]*box) {
	far := b.layer
	for _, u := range b.users {
		far = max(far, u.layer)
	}
	last := b
	for l := b.layer + 1; l < far; l++ {
		way := &box{way: true, layer: l, inputs: []*box{last}}
		last.users = append(last.users, way)
		for _, u := range slices.Clone(b.users) {
			if u.layer == l+1 && !u.way {
				u.inputs[slices.Index(u.inputs, b)] = way
				b.users = slices.DeleteFunc(b.users, func(other *box) bool { return other == u })
				way.users = append(way.users, u)
			}
		}
		layers[l] = append(layers[l], way)
		last = way
	}
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

// Width of every box.
func (b *box) Width() int { return boxWidth }

// Height of every box.
func (b *box) Height() int { return boxHeight }
