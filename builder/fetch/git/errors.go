package git

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/go-git/go-git/v5/plumbing/transport"
)

// Kind says why an address did not give a commit.
type Kind int

// The kinds.
const (
	Unreachable   Kind = iota // may work again
	NotRepository             // something else is there, or nothing
	Refused                   // an account is asked for, or not enough
	NoCommit                  // the repository does not have the commit
	NotCommit                 // the name is that of something else
	Broken                    // objects are missing or are not what their names say
)

// Attempt is one address that was tried.
type Attempt struct {
	URL  string
	Kind Kind
	Err  error
}

// Error says that no address gave a commit.
type Error struct {
	Name  string // of the source
	Hash  string // of the commit; what was looked for, if Ref
	Tried []Attempt
	Ref   bool // a branch or a tag was looked for
}

// Kind is the kind of failure that is most worth mending.
func (e *Error) Kind() Kind { return e.worst() }

// Error lists every address with what it said, and what to do.
func (e *Error) Error() string {
	var b strings.Builder
	doing := "fetching commit"
	if e.Ref {
		doing = "looking for"
	}
	fmt.Fprintf(&b, "%s %s of %s:\n", doing, e.Hash, e.Name)
	for _, a := range e.Tried {
		fmt.Fprintf(&b, "  %s: %s\n", a.URL, a.Err)
	}
	b.WriteString(e.advice())
	return b.String()
}

// ExitCode is that of a wrong recipe where all repositories say so, else that
// of the network.
func (e *Error) ExitCode() int {
	if k := e.worst(); k == NoCommit || k == NotCommit {
		return 2
	}
	return 4
}

// worst is the kind that is most worth mending: the first in their order.
func (e *Error) worst() Kind {
	worst := Broken
	for _, a := range e.Tried {
		worst = min(worst, a.Kind)
	}
	return worst
}

func (e *Error) advice() string {
	last := e.Tried[len(e.Tried)-1].URL
	switch e.worst() {
	case NotRepository:
		return "correct the address: `git ls-remote` works with the one of a repository"
	case Refused:
		return "put \"machine HOST login USER password SECRET\" into ~/.netrc for https, or add a key to the ssh agent for ssh"
	case NoCommit:
		if e.Ref {
			return fmt.Sprintf("`git ls-remote %s` lists the branches and tags that there are", last)
		}
		return fmt.Sprintf("it was never pushed there, or a branch was rewritten: `git ls-remote %s` lists the commits that there are", last)
	case NotCommit:
		return "write the 40 digits of a commit: in the output of `git ls-remote` those of a tag stand in the line that ends in ^{}"
	case Broken:
		return "the repository is damaged: name another one in mirrors, or clone it anew and push it there"
	}
	return "check the network and the address, then run the command again; other places of the commit can be named in mirrors"
}

// Unwrap gives the causes.
func (e *Error) Unwrap() []error {
	var errs []error
	for _, a := range e.Tried {
		errs = append(errs, a.Err)
	}
	return errs
}

// cause is why one address did not give a commit.
type cause struct {
	kind Kind
	err  error
}

func (c *cause) Error() string { return c.err.Error() }
func (c *cause) Unwrap() error { return c.err }

func causef(k Kind, format string, args ...any) *cause {
	return &cause{k, fmt.Errorf(format, args...)}
}

// local tells errors of this machine, which another address would not mend.
func local(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EROFS):
		return err
	}
	return nil
}

// answered sorts what the library says when a server does not show its branches.
func answered(err error) *cause {
	switch {
	case errors.Is(err, transport.ErrRepositoryNotFound):
		return causef(NotRepository, "there is no git repository: %w", err)
	case errors.Is(err, transport.ErrAuthenticationRequired), errors.Is(err, transport.ErrAuthorizationFailed),
		errors.Is(err, transport.ErrInvalidAuthMethod), strings.Contains(err.Error(), "ssh: handshake failed"),
		strings.Contains(err.Error(), "SSH agent"), strings.Contains(err.Error(), "knownhosts: "):
		return causef(Refused, "the server does not let us in: %w", err)
	case errors.Is(err, transport.ErrEmptyRemoteRepository):
		return causef(NoCommit, "the repository is empty")
	case notGit(err):
		return causef(NotRepository, "there is no git repository, but something else: %w", err)
	}
	return causef(Unreachable, "%w", err)
}
