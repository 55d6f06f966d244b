package web

import (
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed messages
var messageFiles embed.FS

//go:embed templates
var templateFiles embed.FS

// language is a catalogue of messages, and the pages in it.
type language struct {
	Code     string // BCP 47
	Name     string // in itself
	messages map[string]string
	pages    map[string]*template.Template
}

// languageCookie keeps which language somebody chose.
const languageCookie = "riscv-build-language"

var languageCodes = []struct{ code, file string }{{"en", "en.json"}, {"zh-CN", "zh.json"}}

// loadLanguages reads the catalogues and parses each page once per language.
func loadLanguages(s *site) ([]*language, error) {
	var all []*language
	for _, c := range languageCodes {
		l := &language{Code: c.code, pages: map[string]*template.Template{}}
		b, err := messageFiles.ReadFile("messages/" + c.file)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(b, &l.messages); err != nil {
			return nil, fmt.Errorf("reading the messages %q: %w", c.file, err)
		}
		l.Name = l.messages["language.name"]
		if err := l.parse(s); err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

// shared are templates that pages are put together from.
var shared = []string{"templates/base.html", "templates/parts.html"}

func (l *language) parse(s *site) error {
	entries, err := templateFiles.ReadDir("templates")
	if err != nil {
		return err
	}
	for _, e := range entries {
		file := "templates/" + e.Name()
		if slices.Contains(shared, file) {
			continue
		}
		t, err := template.New(e.Name()).Funcs(l.funcs(s)).ParseFS(templateFiles, append(shared, file)...)
		if err != nil {
			return fmt.Errorf("parsing the page %q: %w", e.Name(), err)
		}
		l.pages[strings.TrimSuffix(e.Name(), ".html")] = t
	}
	return nil
}

// languageOf is what somebody chose, or what their browser asks for first.
func (s *site) languageOf(r *http.Request) *language {
	if c, err := r.Cookie(languageCookie); err == nil {
		for _, l := range s.langs {
			if l.Code == c.Value {
				return l
			}
		}
	}
	best, weight := s.langs[0], 0.0
	for _, item := range strings.Split(r.Header.Get("Accept-Language"), ",") {
		tag, params, _ := strings.Cut(strings.TrimSpace(item), ";")
		q := 1.0
		if v, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			q, _ = strconv.ParseFloat(v, 64)
		}
		main, _, _ := strings.Cut(strings.ToLower(tag), "-")
		for _, l := range s.langs {
			if own, _, _ := strings.Cut(l.Code, "-"); own == main && q > weight {
				best, weight = l, q
			}
		}
	}
	return best
}

// text is a message, with arguments as fmt has them. One that is missing is
// shown by its name; a test finds those.
func (l *language) text(key string, args ...any) string {
	m, ok := l.messages[key]
	if !ok {
		return key
	}
	if len(args) == 0 {
		return m
	}
	return fmt.Sprintf(m, args...)
}

// count is a message about a number of things: KEY.one for one, else KEY.other.
func (l *language) count(key string, n int) string {
	form := ".other"
	if n == 1 {
		form = ".one"
	}
	return l.text(key+form, number(int64(n)))
}

func (s *site) languageForm(v *visit) error {
	return v.show(http.StatusOK, "language", frame{Title: v.lang.text("language.title"), Page: local(v.r.URL.Query().Get("back"))})
}

func (s *site) chooseLanguage(v *visit) error {
	if err := v.form(); err != nil {
		return err
	}
	code := v.r.PostForm.Get("lang")
	if slices.ContainsFunc(s.langs, func(l *language) bool { return l.Code == code }) {
		http.SetCookie(v.w, &http.Cookie{
			Name: languageCookie, Value: code, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
			Secure: v.r.TLS != nil, MaxAge: int(365 * 24 * time.Hour / time.Second),
		})
	}
	v.see(local(v.r.PostForm.Get("back")))
	return nil
}
