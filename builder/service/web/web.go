// Package web is the pages of the service: HTML that is made here, a style
// sheet and one small script, in English and Simplified Chinese. Everything
// works without the script, nothing comes from elsewhere. Who somebody is, and
// that a form was sent by a page of ours, is found out before a request gets here.
package web

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/builder/service/access"
)

// Options are what the pages are made of. Login and Logout are required.
type Options struct {
	Service  service.Service
	Registry service.Registry // nil: there is none to show
	// Login begins a session for a token; an error says that it is none.
	Login   func(w http.ResponseWriter, r *http.Request, token string) error
	Logout  func(w http.ResponseWriter, r *http.Request)
	Version string
	Log     *slog.Logger // nil: slog.Default()
}

// maxForm bounds the body of a form, in bytes.
const maxForm = 1 << 20

// site is all pages.
type site struct {
	Options
	now    func() time.Time
	langs  []*language
	assets *assets
	folds  folds
}

// New makes a handler for /, /builds/, /recipes, /registry, /outdated,
// /schedules, /login, /logout, /language and /assets/.
func New(o Options) (http.Handler, error) {
	s, err := prepare(o)
	if err != nil {
		return nil, err
	}
	return s.routes(), nil
}

// prepare reads what the pages are made from.
func prepare(o Options) (*site, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	s := &site{Options: o, now: time.Now}
	var err error
	if s.assets, err = loadAssets(); err != nil {
		return nil, err
	}
	s.langs, err = loadLanguages(s)
	return s, err
}

// action answers a request. What it returns is shown as a page of its own.
type action func(v *visit) error

func (s *site) routes() http.Handler {
	mux := http.NewServeMux()
	for _, p := range []struct {
		pattern string
		role    access.Role
		do      action
	}{
		{"GET /{$}", access.Read, s.listBuilds},
		{"GET /builds", access.Read, toStart},
		{"POST /builds", access.Build, s.submit},
		{"GET /builds/{id}", access.Read, s.showBuild},
		{"POST /builds/{id}/cancel", access.Build, s.cancel},
		{"POST /builds/{id}/retry", access.Build, s.retry},
		{"GET /recipes", access.Read, s.listRecipes},
		{"GET /registry", access.Read, s.listImages},
		{"GET /outdated", access.Read, s.showOutdated},
		{"POST /outdated", access.Build, s.checkOutdated},
		{"GET /schedules", access.Read, s.listSchedules},
		{"POST /schedules", access.Admin, s.putSchedule},
		{"GET /schedules/{name}", access.Admin, s.editSchedule},
		{"POST /schedules/{name}/pause", access.Admin, s.pauseSchedule(true)},
		{"POST /schedules/{name}/resume", access.Admin, s.pauseSchedule(false)},
		{"POST /schedules/{name}/delete", access.Admin, s.deleteSchedule},
		{"GET /login", access.Nobody, s.loginForm},
		{"POST /login", access.Nobody, s.login},
		{"POST /logout", access.Nobody, s.logout},
		{"GET /language", access.Nobody, s.languageForm},
		{"POST /language", access.Nobody, s.chooseLanguage},
		{"/", access.Nobody, s.missing},
	} {
		mux.Handle(p.pattern, s.page(p.role, p.do))
	}
	mux.Handle("GET /assets/{name}", s.assets)
	return mux
}

// policy lets a page load what this server has, and nothing else.
const policy = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"

// page is a handler that asks for a role first.
func (s *site) page(role access.Role, do action) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		h.Add("Vary", "Cookie, Accept-Language")
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		v := &visit{site: s, w: w, r: r, who: access.From(r.Context())}
		v.lang = s.languageOf(r)
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				v.fail(fmt.Errorf("showing %s: %v", r.URL.Path, p))
			}
		}()
		switch {
		case v.who.Role.Allows(role):
			if err := do(v); err != nil {
				v.fail(err)
			}
		case !v.who.Role.Allows(access.Read):
			v.see("/login?next=" + url.QueryEscape(next(r)))
		default:
			v.refuse(role)
		}
	})
}

// next is where somebody is sent who had to log in first.
func next(r *http.Request) string {
	if r.Method != http.MethodGet {
		return "/"
	}
	return r.URL.RequestURI()
}

func toStart(v *visit) error {
	v.see("/")
	return nil
}

func (s *site) missing(v *visit) error {
	if !v.who.Role.Allows(access.Read) {
		v.see("/login")
		return nil
	}
	return &service.NotFoundError{What: fmt.Sprintf("page %q", v.r.URL.Path)}
}
