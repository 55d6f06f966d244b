// Package remote is the engine that solves graphs and runs images with a
// BuildKit elsewhere: on a socket of this machine, behind TCP with TLS, behind
// ssh, in a container of docker, nerdctl, podman or Kubernetes, or the one that
// Docker has inside. It knows no recipes, and works on every system.
//
// The oldest BuildKit that solves the graphs is v0.12.
package remote

// Options tell Open which engine to use.
type Options struct {
	Address Address
	TLS     TLS // for tcp:// only
}

// TLS are the PEM files that a connection over TCP is secured with.
type TLS struct {
	CA   string // authorities that may have signed the engine's certificate; empty: those of the system
	Cert string // this client's certificate
	Key  string // its key
}
