package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/riscv-build/riscv-build/builder/service"
)

// The most that senders list; where there is as much, there may be more.
const (
	githubCommits = 2048 // of a push
	githubFiles   = 3000 // of a commit
)

// pushBody is what GitHub and Gitea send of a push.
type pushBody struct {
	Ref        string `json:"ref"`
	Before     string `json:"before"`
	After      string `json:"after"`
	Forced     bool   `json:"forced"`
	Total      int    `json:"total_commits"` // Gitea: of which it lists a few
	Repository struct {
		CloneURL string `json:"clone_url"`
		SSHURL   string `json:"ssh_url"`
		HTMLURL  string `json:"html_url"`
		GitURL   string `json:"git_url"`
	} `json:"repository"`
	Commits []pushCommit `json:"commits"`
}

type pushCommit struct {
	Added    []string `json:"added"`
	Modified []string `json:"modified"`
	Removed  []string `json:"removed"`
}

// genericBody is what others send of a push.
type genericBody struct {
	URLs   []string `json:"urls"`
	Ref    string   `json:"ref"`
	Commit string   `json:"commit"`
	Paths  []string `json:"paths"`
}

// parsePush reads a delivery. The commit is empty where a branch was removed.
func parsePush(hook Hook, body []byte) (service.Push, error) {
	p, err := parseKind(hook.Kind, body)
	switch {
	case err != nil:
		return p, &service.InvalidError{Err: fmt.Errorf("reading the delivery to webhook %q: %w: let it send pushes as application/json", hook.Name, err)}
	case p.Ref == "" || len(p.URLs) == 0:
		return p, &service.InvalidError{Err: fmt.Errorf("reading the delivery to webhook %q: it names no ref or no repository: send pushes of %q", hook.Name, hook.Kind)}
	}
	p.Sender = "webhook " + hook.Name
	return p, nil
}

func parseKind(kind string, body []byte) (service.Push, error) {
	if kind == Generic {
		var g genericBody
		err := json.Unmarshal(body, &g)
		return service.Push{URLs: given(g.URLs...), Ref: g.Ref, Commit: g.Commit, Paths: g.Paths}, err
	}
	var b pushBody
	err := json.Unmarshal(body, &b)
	p := service.Push{
		URLs: given(b.Repository.CloneURL, b.Repository.SSHURL, b.Repository.HTMLURL, b.Repository.GitURL),
		Ref:  b.Ref, Commit: b.After, Paths: b.paths(),
	}
	if zero(p.Commit) {
		p.Commit = ""
	}
	return p, err
}

// paths are the files that changed; nil where the lists may lack some.
func (b *pushBody) paths() []string {
	if b.Forced || zero(b.Before) || len(b.Commits) == 0 || len(b.Commits) >= githubCommits || b.Total > len(b.Commits) {
		return nil
	}
	all := []string{}
	for _, c := range b.Commits {
		files := slices.Concat(c.Added, c.Modified, c.Removed)
		if len(files) >= githubFiles || c.Added == nil && c.Modified == nil && c.Removed == nil {
			return nil
		}
		all = append(all, files...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// zero tells whether a commit is none: git writes that as zeros.
func zero(commit string) bool { return strings.Trim(commit, "0") == "" }

func given(all ...string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s == "" })
}
