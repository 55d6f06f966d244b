// Package git fetches one commit of a git repository and writes its files as a
// tar that is the same wherever and whenever it is made: a source tree that
// the content store can keep under its SHA-256. No git program is needed.
//
// It speaks of commits only. Which commit a branch or tag stands for is for the
// author of a recipe to decide; what becomes of the tar is for the builder. It
// makes no work trees, and applies nothing that git would apply to one: no
// export-ignore, no line ends, no filters.
//
// A commit's name is the hash of all below it. Every object is hashed again
// when it is read, so that the tar is what the name says, whoever served it.
package git

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Commit says what to fetch, and is written into locks as one address.
type Commit struct {
	URLs       []string // repositories that have it, tried in this order
	Hash       string   // 40 hexadecimal digits
	Submodules bool     // with the repositories that it names in .gitmodules
}

// Options says how Write fetches.
type Options struct {
	Name     string        // of the source, for errors: `source "x" (x.toml:7)`
	Dir      string        // an existing directory for what is fetched; it is empty again afterwards
	Client   *http.Client  // default: one that honours the proxy environment
	Stall    time.Duration // give a server up when no byte came for so long; default 30s
	Rounds   int           // how often servers that cannot be reached are tried; default 4
	Backoff  time.Duration // wait after the first round, doubled after each; default 500ms
	Netrc    string        // accounts for https; default $NETRC, then ~/.netrc
	Progress func(Event)   // nil: none
}

// Event tells how a fetch goes on.
type Event struct {
	URL    string
	Bytes  int64  // that have come from servers so far
	Notice string // why an address was given up
}

// Scheme begins a commit's address in a lock: git+https://host/repo.git@COMMIT.
const Scheme = "git+"

const withSubmodules = "#submodules"

// Addresses gives the commit as it is written into a lock: one address for
// each of its repositories.
func (c Commit) Addresses() []string {
	var out []string
	for _, u := range c.URLs {
		address := Scheme + u + "@" + c.Hash
		if c.Submodules {
			address += withSubmodules
		}
		out = append(out, address)
	}
	return out
}

var hashGrammar = regexp.MustCompile(`^[0-9a-f]{40}$`)

// Parse reads what Addresses has written. All addresses must name one commit.
func Parse(addresses []string) (Commit, error) {
	var c Commit
	for i, address := range addresses {
		rest, isGit := strings.CutPrefix(address, Scheme)
		rest, submodules := strings.CutSuffix(rest, withSubmodules)
		at := strings.LastIndex(rest, "@")
		if !isGit || at < 0 || !hashGrammar.MatchString(rest[at+1:]) {
			return Commit{}, fmt.Errorf("reading address %q: it names no commit: write git+URL@COMMIT", address)
		}
		if i > 0 && (c.Hash != rest[at+1:] || c.Submodules != submodules) {
			return Commit{}, fmt.Errorf("reading address %q: it names another commit than %q: run `riscv-build lock --update`", address, addresses[0])
		}
		c.Hash, c.Submodules = rest[at+1:], submodules
		c.URLs = append(c.URLs, rest[:at])
	}
	return c, nil
}

// Write fetches a commit and writes its tree as a tar, below one directory:
// sorted, without owners, all times that of the commit, which it returns.
// Nothing it wrote may be used when it returns an error.
//
// Its errors are *Error, the context's, and those of Dir and the writer.
func Write(ctx context.Context, w io.Writer, c Commit, opt Options) (time.Time, error) {
	f := newFetcher(opt)
	repo, err := f.obtain(ctx, c.URLs, c.Hash)
	if err != nil {
		return time.Time{}, err
	}
	defer repo.close()
	return f.writeTar(ctx, w, repo, c)
}

// resolve gives the address of a submodule, which may be relative to that of
// the repository that names it. Only a local repository may name local ones.
func resolve(parent, address string) (string, error) {
	base, err := url.Parse(parent)
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(address, "./") || strings.HasPrefix(address, "../") {
		base.Path = strings.TrimSuffix(base.Path, "/") + "/"
		ref, err := url.Parse(address)
		if err != nil {
			return "", err
		}
		return strings.TrimSuffix(base.ResolveReference(ref).String(), "/"), nil
	}
	if m := scpLike.FindStringSubmatch(address); m != nil && !strings.Contains(address, "://") {
		address = "ssh://" + m[1] + "/" + m[2]
	}
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	switch u.Scheme {
	case "https", "http", "ssh", "git":
		return address, nil
	case "file", "":
		if base.Scheme == "file" && strings.HasPrefix(u.Path, "/") {
			return "file://" + u.Path, nil
		}
	}
	return "", fmt.Errorf("address %q is none of https://, http://, ssh://, git:// or relative", address)
}

var scpLike = regexp.MustCompile(`^((?:[A-Za-z0-9._-]+@)?[A-Za-z0-9.-]+):([^/:].*)$`)
