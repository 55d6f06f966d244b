package web

import (
	"net/http"
	"net/url"
	"strings"
)

// loginPage is the form for a token.
type loginPage struct {
	Next  string
	Error string
}

// local is a path of this server; "/" for anything else, so that nobody is sent
// elsewhere by a link to us.
func local(path string) string {
	u, err := url.Parse(path)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\r\n\t") {
		return "/"
	}
	return path
}

func (s *site) loginForm(v *visit) error {
	return v.show(http.StatusOK, "login", frame{Title: v.lang.text("login.title"), Page: loginPage{Next: local(v.r.URL.Query().Get("next"))}})
}

func (s *site) login(v *visit) error {
	if err := v.form(); err != nil {
		return err
	}
	to := local(v.r.PostForm.Get("next"))
	err := s.Login(v.w, v.r, strings.TrimSpace(v.r.PostForm.Get("token")))
	if err == nil {
		v.see(to)
		return nil
	}
	if statusOf(err) == http.StatusServiceUnavailable {
		return err
	}
	return v.show(http.StatusUnauthorized, "login", frame{
		Title: v.lang.text("login.title"), Page: loginPage{Next: to, Error: v.lang.text("login.wrong")},
	})
}

func (s *site) logout(v *visit) error {
	s.Logout(v.w, v.r)
	v.see("/login")
	return nil
}
