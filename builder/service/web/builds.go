package web

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/builder/service/access"
)

// perPage is how many builds a page of the list has.
const perPage = 50

// buildsPage is the list of builds, with the form for a new one.
type buildsPage struct {
	Form    buildForm
	Names   []string // of recipes, to choose from
	State   service.State
	Running int
	Queued  int
	Builds  []service.Build
	Filter  service.Filter
	Status  service.Status // that is asked for; "": any
	Active  bool           // something runs or waits: the list changes by itself
	Poll    string         // where its changing part is
	Older   string         // the next page; "": there is none
	Newest  string         // the first page; "": this is it
}

// buildForm is the form for a new build as it was filled in.
type buildForm struct {
	Recipes string
	Push    string
	NoCache bool
	Changed bool
	Update  bool
	Error   string
}

func (s *site) listBuilds(v *visit) error {
	return s.buildList(v, http.StatusOK, buildForm{Recipes: v.r.URL.Query().Get("build")})
}

func (s *site) buildList(v *visit, status int, form buildForm) error {
	query := v.r.URL.Query()
	p := buildsPage{Form: form, Status: service.Status(query.Get("status"))}
	p.Filter = service.Filter{Recipe: strings.TrimSpace(query.Get("recipe")), Client: strings.TrimSpace(query.Get("client")), Limit: perPage}
	if slices.Contains(service.Statuses, p.Status) {
		p.Filter.Status = []service.Status{p.Status}
	}
	if n, err := strconv.ParseInt(query.Get("before"), 10, 64); err == nil && n > 0 {
		p.Filter.Before = n
	}
	ctx := v.r.Context()
	var err error
	if p.Builds, err = s.Service.Builds(ctx, p.Filter); err != nil {
		return err
	}
	if p.State, err = s.Service.State(ctx); err != nil {
		return err
	}
	p.Running, p.Queued = p.State.Builds[service.Running], p.State.Builds[service.Queued]
	p.Active = p.Running+p.Queued > 0
	if query.Get("part") == "" && v.who.Role.Allows(access.Build) {
		// The form works without them: a directory of recipes that cannot be read
		// is told of on the page of recipes.
		recipes, _ := s.Service.Recipes(ctx)
		for _, r := range recipes {
			if r.Problem == "" {
				p.Names = append(p.Names, r.Name)
			}
		}
	}
	p.links(query)
	return v.show(status, "builds", frame{Title: v.lang.text("builds.title"), Section: "builds", Page: p})
}

// links are the addresses of the neighbouring pages, with the same filter.
func (p *buildsPage) links(query url.Values) {
	keep := url.Values{}
	for _, key := range []string{"status", "recipe", "client"} {
		if query.Get(key) != "" {
			keep.Set(key, query.Get(key))
		}
	}
	if p.Filter.Before > 0 {
		p.Newest = "/?" + keep.Encode()
		keep.Set("before", strconv.FormatInt(p.Filter.Before, 10))
	}
	keep.Set("part", "live")
	p.Poll = "/?" + keep.Encode()
	keep.Del("part")
	if n := len(p.Builds); n == perPage {
		keep.Set("before", strconv.FormatInt(p.Builds[n-1].ID, 10))
		p.Older = "/?" + keep.Encode()
	}
}

// submit asks for builds. What is wrong with the form is said on the page that
// it was sent from.
func (s *site) submit(v *visit) error {
	if err := v.form(); err != nil {
		return err
	}
	post := v.r.PostForm
	names := v.words("recipe")
	form := buildForm{
		Recipes: strings.Join(names, " "), Push: strings.Join(v.words("push"), " "),
		NoCache: post.Has("no_cache"), Changed: post.Has("changed"), Update: post.Has("update"),
	}
	var builds []service.Build
	err := error(&service.InvalidError{Field: "recipes", Err: errors.New(v.lang.text("build.norecipe"))})
	if len(names) > 0 {
		builds, err = s.Service.Submit(v.r.Context(), service.Submission{
			Recipes: names, Client: v.who.Name, Cause: service.ByAPI,
			Options: service.Options{Push: v.words("push"), NoCache: form.NoCache, Changed: form.Changed, Update: form.Update},
		})
	}
	switch {
	case err != nil:
		return s.notSubmitted(v, form, err)
	case len(builds) == 1:
		v.see(buildPath(builds[0].ID))
	default:
		v.see("/")
	}
	return nil
}

func (s *site) notSubmitted(v *visit, form buildForm, err error) error {
	status := statusOf(err)
	if status == http.StatusInternalServerError {
		return err
	}
	form.Error = plain(err.Error())
	switch v.r.PostForm.Get("from") {
	case "recipes":
		return s.recipeList(v, status, form)
	case "outdated":
		return s.outdatedPage(v, status, form.Error)
	}
	return s.buildList(v, status, form)
}

func buildPath(id int64) string { return "/builds/" + strconv.FormatInt(id, 10) }

func (s *site) cancel(v *visit) error {
	id, err := v.id()
	if err != nil {
		return err
	}
	if _, err = s.Service.Cancel(v.r.Context(), id, v.who.Name); err != nil {
		return err
	}
	v.see(buildPath(id))
	return nil
}

func (s *site) retry(v *visit) error {
	id, err := v.id()
	if err != nil {
		return err
	}
	b, err := s.Service.Retry(v.r.Context(), id, v.who.Name)
	if err != nil {
		return err
	}
	v.see(buildPath(b.ID))
	return nil
}
