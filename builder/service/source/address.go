package source

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// scpLike is the short form of ssh: USER@HOST:PATH. It needs the user: a word
// with a colon alone may be anything.
var scpLike = regexp.MustCompile(`^([A-Za-z0-9._-]+@[A-Za-z0-9.-]+):([^/:].*)$`)

var gitSchemes = []string{"https", "http", "ssh", "git"}

// gitAddress checks the address of a repository and gives its long form. An
// address holds no secret: it is shown to all who see a build.
func gitAddress(address string, local bool) (string, error) {
	if m := scpLike.FindStringSubmatch(address); m != nil && !strings.Contains(address, "://") {
		address = "ssh://" + m[1] + "/" + m[2]
	}
	if local && filepath.IsAbs(address) {
		address = "file://" + address
	}
	const advice = "use https://, http://, ssh:// or git://"
	u, err := url.Parse(address)
	if err != nil {
		return "", errors.New("reading the address of a git repository: it is no URL: " + advice) // its text may hold a secret
	}
	_, secret := u.User.Password()
	switch {
	case secret, u.User != nil && u.Scheme != "ssh":
		return "", fmt.Errorf("reading the address of the git repository at %q: it names an account: put \"machine %s login USER password SECRET\" into the service's ~/.netrc instead", u.Host, u.Hostname())
	case u.Scheme == "file" && local && u.Host == "" && path.IsAbs(u.Path):
	case !slices.Contains(gitSchemes, u.Scheme) || u.Host == "" || strings.Trim(u.Path, "/") == "":
		return "", fmt.Errorf("reading the git address %q: nothing can be fetched from it: %s", u.Redacted(), advice)
	case u.RawQuery != "" || u.Fragment != "":
		return "", fmt.Errorf("reading the git address at %q: it has a query or a fragment: leave it out", u.Host)
	case strings.HasPrefix(u.Host, "-") || strings.HasPrefix(u.User.Username(), "-"):
		return "", fmt.Errorf("reading the git address %q: its host begins with \"-\": %s", u.Redacted(), advice)
	}
	return address, nil
}

// sameRepository is equal for the forms that one repository's address has:
// ssh and https, with and without user, port and .git.
func sameRepository(address string) string {
	if m := scpLike.FindStringSubmatch(address); m != nil && !strings.Contains(address, "://") {
		address = "ssh://" + m[1] + "/" + m[2]
	}
	if filepath.IsAbs(address) {
		address = "file://" + address
	}
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	p := strings.TrimSuffix(strings.Trim(path.Clean("/"+u.Path), "/"), ".git")
	return strings.ToLower(u.Hostname()) + "/" + p
}

// isAddress tells a git address from a directory.
func isAddress(recipes string) bool {
	return strings.Contains(recipes, "://") || scpLike.MatchString(recipes)
}
