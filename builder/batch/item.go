package batch

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/riscv-build/riscv-build/builder"
)

// Item is one recipe of a batch.
type Item struct {
	Name    string          // of the recipe; of a file that is none, the file's
	File    string          // as the user gave it
	Request builder.Request // without a recipe if there is Err
	Err     error           // why the file is no recipe
}

// node is an item in the order of the batch.
type node struct {
	Item
	base   *node   // stands on that one's image
	weight float64 // seconds, roughly, until the last that stands on it is done
	entry  *Entry
}

// compiles tells whether a build runs commands for long.
func (n *node) compiles() bool {
	return n.Request.Recipe != nil && n.Request.Recipe.Build.Template != ""
}

// OrderError is a batch that cannot be put in order.
type OrderError struct{ What, Do string }

// Error says what is wrong and what to do.
func (e *OrderError) Error() string {
	return "ordering the recipes of the batch: " + e.What + ": " + e.Do
}

// ExitCode is 2: the recipes are wrong.
func (e *OrderError) ExitCode() int { return 2 }

// Without a build that was timed, recipes are guessed to take so long, in seconds.
const (
	guessCompile  = 300
	guessPackages = 10
)

// order puts items in the order in which they are started, as far as the end of
// those they stand on allows: the longest chain first. took has seconds of
// earlier builds by name.
func order(items []Item, took map[string]float64) ([]*node, error) {
	var nodes []*node
	for _, item := range items {
		nodes = append(nodes, &node{Item: item})
	}
	if err := distinct(nodes); err != nil {
		return nil, err
	}
	for _, n := range nodes {
		n.base = findBase(nodes, n)
	}
	for _, n := range nodes {
		var sum float64
		for at := n; at != nil; at = at.base { // each below must be done before the rest of the chain
			sum += at.seconds(took)
			at.weight = max(at.weight, sum)
		}
	}
	slices.SortStableFunc(nodes, func(x, y *node) int {
		return cmp.Or(cmp.Compare(y.weight, x.weight), cmp.Compare(x.depth(), y.depth()), cmp.Compare(x.Name, y.Name), cmp.Compare(x.File, y.File))
	})
	return nodes, nil
}

func (n *node) seconds(took map[string]float64) float64 {
	guess := float64(guessPackages)
	if n.compiles() {
		guess = guessCompile
	}
	return max(took[n.Name], guess)
}

func (n *node) depth() int {
	depth := 0
	for at := n.base; at != nil; at = at.base {
		depth++
	}
	return depth
}

// findBase is the recipe that n stands on; nil if that is none of the batch: it
// is made with n then. That recipes stand on one another in a circle their
// validation has refused.
func findBase(nodes []*node, n *node) *node {
	r := n.Request.Recipe
	if r == nil || r.Base() == nil {
		return nil
	}
	file := filepath.Clean(r.Base().File)
	i := slices.IndexFunc(nodes, func(other *node) bool { return other.Request.Recipe != nil && filepath.Clean(other.File) == file })
	if i < 0 {
		return nil
	}
	return nodes[i]
}

// distinct refuses recipes that would overwrite each other's lock or image:
// which one is left would depend on the order.
func distinct(nodes []*node) error {
	locked, pushed := map[string]*node{}, map[string]*node{}
	for _, n := range nodes {
		r := n.Request.Recipe
		if r == nil {
			continue
		}
		key := n.Request.LockPath + "\n" + n.Name
		if other := locked[key]; other != nil {
			return &OrderError{
				What: fmt.Sprintf("%s and %s of one directory are both named %q, and its lock holds one of a name", other.File, n.File, n.Name),
				Do:   "rename one of them",
			}
		}
		locked[key] = n
		tags := r.Push.Tags
		if len(n.Request.Tags) > 0 {
			tags = n.Request.Tags
		}
		for _, tag := range tags {
			ref := r.Push.Repository + ":" + tag
			if other := pushed[ref]; other != nil && len(n.Request.Push) > 0 {
				return &OrderError{
					What: fmt.Sprintf("the images of %s and %s would both be pushed as %q", other.File, n.File, ref),
					Do:   "change push.repository or push.tags of one of them",
				}
			}
			pushed[ref] = n
		}
	}
	return nil
}
