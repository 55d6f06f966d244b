package web

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/riscv-build/riscv-build/builder/service"
)

// recipesPage is what can be built by its name.
type recipesPage struct {
	Recipes []service.RecipeInfo
	Query   string
	Form    buildForm // as it was sent, if something was wrong with it
	Push    []string  // where images go by default
}

func (s *site) listRecipes(v *visit) error { return s.recipeList(v, http.StatusOK, buildForm{}) }

func (s *site) recipeList(v *visit, status int, form buildForm) error {
	ctx := v.r.Context()
	recipes, err := s.Service.Recipes(ctx)
	if err != nil {
		return err
	}
	state, err := s.Service.State(ctx)
	if err != nil {
		return err
	}
	p := recipesPage{Form: form, Push: state.Push, Query: strings.TrimSpace(v.r.URL.Query().Get("q"))}
	for _, r := range recipes {
		if matches(p.Query, r.Name, r.Summary, r.License) {
			p.Recipes = append(p.Recipes, r)
		}
	}
	return v.show(status, "recipes", frame{Title: v.lang.text("recipes.title"), Section: "recipes", Page: p})
}

// matches tells whether one of the texts has a word in it, whatever its case.
func matches(word string, texts ...string) bool {
	return slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(strings.ToLower(t), strings.ToLower(word)) })
}

// imagesPage is what the registry holds.
type imagesPage struct {
	Groups   []imageGroup
	Query    string
	Images   int
	Bytes    int64 // with what is shared counted each time
	Problems int
}

// imageGroup is a repository.
type imageGroup struct {
	Repository string
	Images     []service.Image
}

func (s *site) listImages(v *visit) error {
	if s.Registry == nil {
		return &service.NotFoundError{What: "registry of this service"}
	}
	images, err := s.Registry.Images(v.r.Context())
	if err != nil {
		return err
	}
	p := imagesPage{Query: strings.TrimSpace(v.r.URL.Query().Get("q"))}
	for _, i := range images {
		if !matches(p.Query, i.Reference, i.Repository, i.Tag) {
			continue
		}
		if n := len(p.Groups); n == 0 || p.Groups[n-1].Repository != i.Repository {
			p.Groups = append(p.Groups, imageGroup{Repository: i.Repository})
		}
		last := &p.Groups[len(p.Groups)-1]
		last.Images = append(last.Images, i)
		p.Images++
		p.Bytes += i.Bytes
		if i.Problem != "" {
			p.Problems++
		}
	}
	return v.show(http.StatusOK, "registry", frame{Title: v.lang.text("registry.title"), Section: "registry", Page: p})
}

// outdatedPage is what was last found out about newer versions.
type outdatedPage struct {
	service.OutdatedReport
	Form    string // what was wrong with it
	Recipes []outdatedRecipe
	Names   []string // of those
}

// outdatedRecipe is how far behind a recipe is.
type outdatedRecipe struct {
	Name     string
	Packages int
	Sources  int
	Security int // of both
}

func (s *site) showOutdated(v *visit) error { return s.outdatedPage(v, http.StatusOK, "") }

func (s *site) outdatedPage(v *visit, status int, problem string) error {
	report, err := s.Service.Outdated(v.r.Context())
	if err != nil {
		return err
	}
	p := outdatedPage{OutdatedReport: report, Form: problem}
	p.count()
	return v.show(status, "outdated", frame{Title: v.lang.text("outdated.title"), Section: "outdated", Page: p})
}

// count sums up per recipe; those with security updates come first.
func (p *outdatedPage) count() {
	if p.Report == nil {
		return
	}
	of := map[string]*outdatedRecipe{}
	note := func(name string, security bool) *outdatedRecipe {
		if of[name] == nil {
			of[name] = &outdatedRecipe{Name: name}
		}
		if security {
			of[name].Security++
		}
		return of[name]
	}
	for _, pkg := range p.Report.Packages {
		for _, name := range pkg.Recipes {
			note(name, pkg.Security).Packages++
		}
	}
	for _, src := range p.Report.Sources {
		note(src.Recipe, src.Security).Sources++
	}
	for _, r := range of {
		p.Recipes = append(p.Recipes, *r)
	}
	slices.SortFunc(p.Recipes, func(a, b outdatedRecipe) int {
		return cmp.Or(cmp.Compare(b.Security, a.Security), cmp.Compare(a.Name, b.Name))
	})
	for _, r := range p.Recipes {
		p.Names = append(p.Names, r.Name)
	}
}

func (s *site) checkOutdated(v *visit) error {
	if err := s.Service.CheckOutdated(v.r.Context(), v.who.Name); err != nil {
		if status := statusOf(err); status != http.StatusInternalServerError {
			return s.outdatedPage(v, status, plain(err.Error()))
		}
		return err
	}
	v.see("/outdated")
	return nil
}
