package outdated

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestPages(t *testing.T) {
	asked := 0
	mux := http.NewServeMux()
	plain := httptest.NewServer(mux)
	defer plain.Close()
	secure := httptest.NewTLSServer(mux)
	defer secure.Close()
	mux.HandleFunc("/page", func(w http.ResponseWriter, r *http.Request) {
		asked++
		fmt.Fprint(w, r.UserAgent())
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/page", http.StatusFound) })
	mux.HandleFunc("/circle", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/circle", http.StatusFound) })
	mux.HandleFunc("/down", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, plain.URL+"/page", http.StatusFound)
	})
	mux.HandleFunc("/large", func(w http.ResponseWriter, r *http.Request) { w.Write(bytes.Repeat([]byte("x"), maxPage+1)) })
	pages := &WebPages{Client: secure.Client(), UserAgent: "agent"}
	for _, c := range []struct{ url, wrong string }{
		{plain.URL + "/page", ""}, {plain.URL + "/page", ""}, {secure.URL + "/moved", ""},
		{plain.URL + "/circle", "more than 5 times"}, {secure.URL + "/down", "from https to http"},
		{plain.URL + "/large", "larger than 8 MB"}, {plain.URL + "/none", "404"},
	} {
		text, err := pages.Page(t.Context(), c.url)
		if (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) || err == nil && string(text) != "agent" {
			t.Errorf("%s: %.20q, %v", c.url, text, err)
		}
	}
	if asked != 2 {
		t.Errorf("a page that was asked for three times, once under another name, was read %d times", asked)
	}
}

func TestCompare(t *testing.T) {
	ordered := []string{"1.2", "v1.9", "1.10", "2.0-alpha1", "2.0beta2", "2.0-rc.1", "2.0-rc.2", "2.0", "2.0-1", "2.0.1"}
	for i := range ordered[1:] {
		if order, ok := compare(ordered[i], ordered[i+1]); !ok || order >= 0 {
			t.Errorf("%s is not before %s", ordered[i], ordered[i+1])
		}
	}
	for version, want := range map[string]bool{"2.0-rc1": true, "2.0": false, "1.2-dev": true, "1.2.3-1": false, "3.0.0-beta.2": true} {
		if preRelease(version) != want {
			t.Errorf("%s: %v", version, !want)
		}
	}
	if got := higher(higher("", "latest"), "1.0"); got != "1.0" {
		t.Errorf("what is no version won: %q", got)
	}
	for version, want := range map[string]string{"1.26.3-3+deb13u7": "1.26.3", "8.0.2+dfsg1-1": "8.0.2", "1.0": "1.0", "2.0~rc1-1": "2.0"} {
		if got := upstream(version); got != want {
			t.Errorf("%s: %q, want %q", version, got, want)
		}
	}
}
