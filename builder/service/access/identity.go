// Package access says who a request is from and what they may do: tokens with
// roles, sessions of the page, limits. It knows nothing of builds.
package access

import (
	"context"
	"slices"
)

// Role is what somebody may do; each may do what those before it may.
type Role string

// The roles. Nobody is one who showed no token.
const (
	Nobody Role = ""
	Read   Role = "read"  // see everything
	Build  Role = "build" // submit, cancel and retry builds
	Admin  Role = "admin" // change schedules
)

// Roles are those a token can have, the least first.
var Roles = []Role{Read, Build, Admin}

// Allows tells whether a role is enough where another is wanted.
func (r Role) Allows(wanted Role) bool {
	return slices.Index(Roles, r) >= slices.Index(Roles, wanted)
}

// Identity is who a request is from.
type Identity struct {
	Name string // of the token; "local" over the socket of the state directory; "" for nobody
	Role Role
}

type identityKey struct{}

// With adds an identity to a context.
func With(ctx context.Context, id Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, id)
}

// From is the identity of a context; Nobody's if it has none.
func From(ctx context.Context) Identity {
	id, _ := ctx.Value(identityKey{}).(Identity)
	return id
}
