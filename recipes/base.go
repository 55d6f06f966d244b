package recipes

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// recipeBase begins an image.base that names a recipe.
const recipeBase = "recipe:"

// BaseRecipe returns NAME of image.base = "recipe:NAME".
func (r *Recipe) BaseRecipe() (name string, ok bool) {
	return strings.CutPrefix(r.Image.Base, recipeBase)
}

// Base is the recipe whose image this one's is built on; nil where that is no
// recipe's. It is the file NAME.toml beside the recipe or, without that file,
// the one of the catalogue, which Base().File tells.
func (r *Recipe) Base() *Recipe { return r.base }

// OnScratch tells whether the image, or the lowest it is built on, starts from nothing.
func (r *Recipe) OnScratch() bool {
	for r.base != nil {
		r = r.base
	}
	return r.Image.Base == "scratch"
}

// checkBaseRecipe reads the recipe that this one is built on.
func (c *checker) checkBaseRecipe(name string) {
	r := c.r
	if !ValidName(name) {
		c.bad("image.base", fmt.Sprintf("base %q names no recipe", r.Image.Base), `write "recipe:NAME" with the name of a recipe of this directory or of the catalogue`)
		return
	}
	if name == r.Name {
		c.bad("image.base", "the recipe has the name of its base", "give it another, and push.repository the name that its image shall have")
		return
	}
	base, err := c.loadBase(name)
	var problems Problems
	var cycle *cycleError
	switch {
	case errors.As(err, &cycle):
		c.bad("image.base", cycle.Error(), "give one of them another base")
	case errors.Is(err, fs.ErrNotExist):
		c.bad("image.base", fmt.Sprintf("there is no recipe %q, neither beside this one nor in the catalogue", name),
			fmt.Sprintf("write %s.toml, or %s", name, catalogHint(name)))
	case errors.As(err, &problems):
		c.bad("image.base", fmt.Sprintf("the base is no correct recipe: %s", problems[0].Error()),
			"correct it: `riscv-build validate "+strings.TrimPrefix(problems[0].File, catalogPrefix)+"` lists everything")
	case err != nil:
		c.bad("image.base", fmt.Sprintf("the base %q cannot be read: %v", name, err), "make it readable")
	case base.Name != name:
		c.bad("image.base", fmt.Sprintf("%s holds the recipe %q", base.File, base.Name), fmt.Sprintf("call it %s.toml, or its name %q", base.Name, name))
	default:
		r.base = base
		if !r.given("check.profile") {
			r.Check.Profile = base.Check.Profile
		}
	}
}

// cycleError names the recipes that stand on each other in a circle.
type cycleError struct{ chain []string }

func (e *cycleError) Error() string {
	return "the recipe is built on itself: " + strings.Join(e.chain, " -> ")
}

// loadBase reads NAME.toml beside the recipe, else that of the catalogue.
func (c *checker) loadBase(name string) (*Recipe, error) {
	r := c.r
	above := append(slices.Clone(c.above), r.File)
	file := filepath.Join(filepath.Dir(r.File), name+".toml")
	data, err := fs.ReadFile(r.Dir, name+".toml")
	if strings.HasPrefix(r.File, catalogPrefix) || errors.Is(err, fs.ErrNotExist) {
		file = catalogPrefix + name + ".toml"
	}
	if i := slices.IndexFunc(above, func(f string) bool { return filepath.Clean(f) == file }); i >= 0 {
		return nil, &cycleError{append(above[i:], file)}
	}
	if strings.HasPrefix(file, catalogPrefix) {
		return loadCatalog(name, above)
	}
	if err != nil {
		return nil, err
	}
	return parseAt(place{dir: r.Dir, root: r.Root, above: above}, file, data)
}
