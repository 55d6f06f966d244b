package gomod

import (
	"bufio"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/module"
)

// Scheme is the prefix of locations below a module proxy:
// "go:github.com/!burnt!sushi/toml/@v/v1.5.0.zip". A lock never names a proxy.
const Scheme = "go:"

// The checksum database that is used where nobody names another.
const (
	defaultSumDB  = "sum.golang.org"
	defaultSumKey = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
)

// Proxies are where modules and their checksums are asked for.
type Proxies struct {
	URLs   []string // without trailing slash, asked in this order
	From   string   // who named them
	SumKey string   // of the checksum database; empty: none is asked
	SumURL string   // of the checksum database, where no proxy passes it on
	Exempt string   // patterns of modules that no checksum database is asked for
}

// DiscoverOptions say where proxies may be named. The zero value asks the
// environment and the settings of `go env -w`.
type DiscoverOptions struct {
	Config []string                         // of the configuration file
	Getenv func(key string) string          // nil: os.Getenv
	Note   func(format string, args ...any) // told about what is passed over; nil: nobody
}

// Discover finds the module proxies: GOPROXY of the environment, then the
// configuration, then GOPROXY of `go env -w`, then that of the machine's own Go.
// Where none of these names one there is none, and who asks is told so. The
// checksum database follows GOSUMDB, GONOSUMDB and GOPRIVATE, as with the go command.
func Discover(opt DiscoverOptions) (Proxies, error) {
	if opt.Getenv == nil {
		opt.Getenv = os.Getenv
	}
	if opt.Note == nil {
		opt.Note = func(string, ...any) {}
	}
	saved := readGoEnv(userGoEnv(opt.Getenv))
	installed := readGoEnv(installedGoEnv(opt.Getenv))
	get := func(key string) string {
		if v := opt.Getenv(key); v != "" {
			return v
		}
		return saved[key]
	}
	p := Proxies{Exempt: get("GONOSUMDB")}
	if p.Exempt == "" {
		p.Exempt = get("GOPRIVATE")
	}
	if err := p.setSumDB(get("GOSUMDB")); err != nil {
		return Proxies{}, err
	}
	lists := []struct{ from, list string }{
		{"GOPROXY", opt.Getenv("GOPROXY")}, {"configuration", strings.Join(opt.Config, ",")},
		{"go env", saved["GOPROXY"]}, {"the installed Go", installed["GOPROXY"]},
	}
	for _, l := range lists {
		if l.list == "" {
			continue
		}
		p.From = l.from
		return p, p.add(l.list, opt.Note)
	}
	return p, nil
}

// add reads a list as GOPROXY holds one. Version control is not asked here, so
// "direct" adds nothing.
func (p *Proxies) add(list string, note func(string, ...any)) error {
	for _, word := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == '|' }) {
		word = strings.TrimRight(strings.TrimSpace(word), "/")
		switch word {
		case "":
			continue
		case "off":
			return nil
		case "direct":
			note("module proxy %q of %s is passed over: modules come from proxies only", word, p.From)
			continue
		}
		u, err := url.Parse(word)
		if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
			return fmt.Errorf("reading module proxy %q of %s: it is no web address: write one such as https://proxy.example", word, p.From)
		}
		p.URLs = append(p.URLs, word)
	}
	return nil
}

// setSumDB reads GOSUMDB: a name, a verifier key with or without an address, or "off".
func (p *Proxies) setSumDB(setting string) error {
	words := strings.Fields(setting)
	switch {
	case len(words) == 0 || setting == defaultSumDB:
		p.SumKey, p.SumURL = defaultSumKey, "https://"+defaultSumDB
		return nil
	case setting == "sum.golang.google.cn":
		p.SumKey, p.SumURL = defaultSumKey, "https://"+setting
		return nil
	case setting == "off":
		return nil
	}
	name, _, ok := strings.Cut(words[0], "+")
	if !ok || len(words) > 2 {
		return fmt.Errorf("reading GOSUMDB %q: it is no checksum database: use %q, a key with an address, or \"off\"", setting, defaultSumDB)
	}
	p.SumKey, p.SumURL = words[0], "https://"+name
	if len(words) == 2 {
		p.SumURL = strings.TrimRight(words[1], "/")
	}
	return nil
}

// exempt says whether no checksum database vouches for a module.
func (p Proxies) exempt(path string) bool {
	return p.SumKey == "" || module.MatchPrefixPatterns(p.Exempt, path)
}

// Resolve gives the addresses of "go:...".
func (p Proxies) Resolve(location string) []string {
	path, ok := strings.CutPrefix(location, Scheme)
	if !ok {
		return []string{location}
	}
	var urls []string
	for _, root := range p.URLs {
		urls = append(urls, root+"/"+path)
	}
	return urls
}

// Location names a file of a module version ("zip", "mod" or "info") below any proxy.
func Location(m module.Version, file string) (string, error) {
	path, err := module.EscapePath(m.Path)
	if err != nil {
		return "", fmt.Errorf("naming module %q: %w: correct its path", m.Path, err)
	}
	version, err := module.EscapeVersion(m.Version)
	if err != nil {
		return "", fmt.Errorf("naming version %q of module %q: %w: correct it", m.Version, m.Path, err)
	}
	return Scheme + path + "/@v/" + version + "." + file, nil
}

// userGoEnv is the file that `go env -w` writes.
func userGoEnv(getenv func(string) string) string {
	if file := getenv("GOENV"); file != "" {
		return file
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "go", "env")
}

// installedGoEnv is the file of defaults in the Go that GOROOT or PATH leads to.
func installedGoEnv(getenv func(string) string) string {
	if root := getenv("GOROOT"); root != "" {
		return filepath.Join(root, "go.env")
	}
	for _, dir := range filepath.SplitList(getenv("PATH")) {
		if program, err := filepath.EvalSymlinks(filepath.Join(dir, "go")); err == nil {
			return filepath.Join(filepath.Dir(filepath.Dir(program)), "go.env")
		}
	}
	return ""
}

// readGoEnv reads the settings of such a file; one that is not there has none.
func readGoEnv(file string) map[string]string {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	settings := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), "="); ok {
			settings[key] = value
		}
	}
	return settings
}
