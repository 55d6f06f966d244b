package git

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// accounts adds the account of ~/.netrc to requests over https. It goes by the
// host of each request: a redirection elsewhere takes no password along.
type accounts struct {
	next  http.RoundTripper
	netrc string
}

// RoundTrip makes one request.
func (a accounts) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme == "https" && req.Header.Get("Authorization") == "" {
		if login, password, ok := lookup(a.netrc, req.URL.Hostname()); ok {
			req = req.Clone(req.Context())
			req.SetBasicAuth(login, password)
		}
	}
	return a.next.RoundTrip(req)
}

// defaultNetrc is where git, curl and others look.
func defaultNetrc() string {
	if path := os.Getenv("NETRC"); path != "" {
		return path
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".netrc")
}

// lookup finds the account for a host. A file that cannot be read has none.
func lookup(path, host string) (login, password string, ok bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", "", false
	}
	mine := false
	words := netrcWords(string(text))
	for i := 0; i < len(words); i++ {
		word, value := words[i], ""
		if word != "default" && i+1 < len(words) {
			i++
			value = words[i]
		}
		switch {
		case ok && (word == "machine" || word == "default"):
			return login, password, true
		case word == "machine" || word == "default":
			mine = word == "default" || strings.EqualFold(value, host)
			ok = mine
		case mine && word == "login":
			login = value
		case mine && word == "password":
			password = value
		}
	}
	return login, password, ok
}

// netrcWords splits the file, without comments and macros. A macro reaches from
// macdef to the next empty line.
func netrcWords(text string) []string {
	var words []string
	macro := false
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if macro {
			macro = len(fields) > 0
			continue
		}
		for _, w := range fields {
			if strings.HasPrefix(w, "#") && (len(words) == 0 || words[len(words)-1] != "password") {
				break
			}
			if w == "macdef" {
				macro = true
				break
			}
			words = append(words, strings.Trim(w, `"`))
		}
	}
	return words
}
