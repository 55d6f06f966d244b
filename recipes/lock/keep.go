package lock

import "slices"

// Keep drops all recipes and sets but those that are named, with the packages
// and archive states that only the others need.
func (f *File) Keep(recipes, sets []string) {
	f.Recipes = slices.DeleteFunc(f.Recipes, func(r Recipe) bool { return !slices.Contains(recipes, r.Name) })
	f.Sets = slices.DeleteFunc(f.Sets, func(s Set) bool { return !slices.Contains(sets, s.Name) })
	var suites []string
	for _, s := range f.Sets {
		suites = append(suites, s.Suites...)
	}
	f.Releases = slices.DeleteFunc(f.Releases, func(r Release) bool { return !slices.Contains(suites, r.Suite) })
	f.Prune()
}
