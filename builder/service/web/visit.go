package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/builder/service/access"
)

// visit is one request for a page.
type visit struct {
	*site
	w    http.ResponseWriter
	r    *http.Request
	who  access.Identity
	lang *language
}

// frame is what every template is given: what is around a page, and the page.
type frame struct {
	Title   string
	Section string // of the navigation
	Lang    string
	Langs   []*language
	Who     access.Identity
	Path    string // where one comes back to after the language was chosen
	Version string
	CanSee  bool
	CanDo   bool // build
	CanRule bool // admin
	Images  bool // there is a registry
	Page    any
}

// show answers with a page; where only its changing part is wanted, with that.
func (v *visit) show(status int, name string, f frame) error {
	f.Lang, f.Langs, f.Who, f.Version = v.lang.Code, v.langs, v.who, v.Version
	f.CanSee, f.CanDo, f.CanRule = v.who.Role.Allows(access.Read), v.who.Role.Allows(access.Build), v.who.Role.Allows(access.Admin)
	f.Images = v.Registry != nil
	f.Path = next(v.r)
	template := "base.html"
	if v.r.URL.Query().Get("part") == "live" && status == http.StatusOK {
		template = "live"
	}
	set, ok := v.lang.pages[name]
	if !ok {
		return fmt.Errorf("showing the page %q: there is no such template", name)
	}
	var page bytes.Buffer
	if err := set.ExecuteTemplate(&page, template, f); err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.Header().Set("Content-Language", v.lang.Code)
	v.w.Header().Set("Content-Length", strconv.Itoa(page.Len()))
	v.w.WriteHeader(status)
	_, _ = v.w.Write(page.Bytes()) // a client that has gone is no error
	return nil
}

// see sends the browser elsewhere, as one does after a form.
func (v *visit) see(where string) { http.Redirect(v.w, v.r, where, http.StatusSeeOther) }

// problem is what an error page says.
type problem struct {
	Status int
	Text   string
	Detail string // of the error; may be empty
}

// fail shows an error as a page.
func (v *visit) fail(err error) {
	if errors.Is(err, context.Canceled) && v.r.Context().Err() != nil {
		return
	}
	status := statusOf(err)
	var unavailable *service.UnavailableError
	if errors.As(err, &unavailable) && unavailable.After > 0 {
		v.w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(unavailable.After.Seconds()))))
	}
	p := problem{Status: status, Text: v.lang.text(fmt.Sprintf("error.%d", status))}
	if status == http.StatusInternalServerError {
		v.Log.Error("page", "path", v.r.URL.Path, "error", err)
	} else {
		p.Detail = err.Error()
	}
	v.problem(p)
}

func (v *visit) refuse(role access.Role) {
	v.problem(problem{
		Status: http.StatusForbidden,
		Text:   v.lang.text("error.403"),
		Detail: v.lang.text("error.role", v.lang.text("role."+string(role)), v.who.Name),
	})
}

func (v *visit) problem(p problem) {
	if err := v.show(p.Status, "error", frame{Title: p.Text, Page: p}); err != nil {
		v.Log.Error("page", "path", v.r.URL.Path, "error", err)
		http.Error(v.w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
	}
}

// statusOf is the HTTP status that stands for an error; 500 for one that tells
// of the service rather than of the client.
func statusOf(err error) int {
	var missing *service.NotFoundError
	var invalid *service.InvalidError
	var conflict *service.ConflictError
	var unavailable *service.UnavailableError
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &missing):
		return http.StatusNotFound
	case errors.As(err, &invalid):
		return http.StatusUnprocessableEntity
	case errors.As(err, &conflict):
		return http.StatusConflict
	case errors.As(err, &unavailable):
		return http.StatusServiceUnavailable
	case errors.As(err, &large):
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusInternalServerError
}

// id is the number of a build in the path.
func (v *visit) id() (int64, error) {
	id, err := strconv.ParseInt(v.r.PathValue("id"), 10, 64)
	if err != nil || id < 1 {
		return 0, &service.NotFoundError{What: fmt.Sprintf("build %q", v.r.PathValue("id"))}
	}
	return id, nil
}

// words are the values of a field of a form, at spaces and commas.
func (v *visit) words(field string) []string {
	all := []string{}
	for _, value := range v.r.PostForm[field] {
		all = append(all, strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\r' || r == '\t' })...)
	}
	return all
}

// form reads the body of a form.
func (v *visit) form() error {
	if err := v.r.ParseForm(); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return err
		}
		return &service.InvalidError{Err: fmt.Errorf("reading the form: %w", err)}
	}
	return nil
}
