package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder/service/client"
	"github.com/riscv-build/riscv-build/cmd/riscv-build/config"
)

// The environment variables that say how a service elsewhere is reached.
const (
	envServer = "RISCV_BUILD_SERVER"
	envToken  = "RISCV_BUILD_TOKEN"
)

func serverFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "server", Usage: "ask the service (`riscv-build serve`) at `URL` (also " + envServer + ")"},
		&cli.StringFlag{Name: "server-token", Usage: "the token for --server is in `FILE` (also " + envToken + ", the token itself)"},
		&cli.StringFlag{Name: "server-ca", Usage: "trust the certificate authority in `FILE` (PEM) for --server"},
	}
}

// ownFlags are those of a build or a batch that only a process of its own can
// do what is asked with: on this machine's files and engines.
var ownFlags = []string{
	"load", "output", "offline", "cache-from", "cache-to", "engine", "engine-tls", "containerd", "mirror", "keyring", "cache-limit", "jobs",
	"make-jobs", "plan", "resume",
}

// ownVariables are environment variables of the same kind.
var ownVariables = []string{config.EnvEngine, config.EnvEngineTLS, config.EnvContainerd}

// wantsOwn is the first flag or variable that keeps a build in this process; ""
// if none does.
func wantsOwn(c *cli.Context) string {
	for _, name := range ownFlags {
		if c.IsSet(name) {
			return "--" + name
		}
	}
	for _, name := range ownVariables {
		if os.Getenv(name) != "" {
			return name
		}
	}
	return ""
}

// elsewhere is the service that --server or the environment names; nil if none is.
func elsewhere(c *cli.Context) (*client.Client, error) {
	url := cmp.Or(c.String("server"), os.Getenv(envServer))
	if url == "" {
		for _, flag := range []string{"server-token", "server-ca"} {
			if c.IsSet(flag) {
				return nil, usagef("reading --%s: there is no service it could be for: name it with --server URL", flag)
			}
		}
		return nil, nil
	}
	token := os.Getenv(envToken)
	if path := c.String("server-token"); path != "" {
		var err error
		if token, err = lineOfFile("server-token", path); err != nil {
			return nil, err
		}
	}
	cl, err := client.New(client.Options{URL: url, Token: token, CAFile: c.String("server-ca"), UserAgent: userAgent()})
	if err != nil {
		return nil, usageError{err}
	}
	return cl, nil
}

// onThisMachine is the service of the state directory; nil if none runs.
func onThisMachine(stateDir string) (*client.Client, error) {
	path := filepath.Join(stateDir, serviceDir, serviceSocket)
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return nil, nil //nolint:nilerr // it has ended, there never was one, or it is somebody else's
	}
	if err := conn.Close(); err != nil {
		return nil, err
	}
	return client.New(client.Options{URL: "unix://" + path, UserAgent: userAgent()})
}

func userAgent() string { return "riscv-build/" + programVersion() }

// fromService says of an error of a service whether the network is to blame.
func fromService(err error) error {
	var refused *client.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused) && slices.Contains([]int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity}, refused.Status):
		return usageError{err}
	}
	return networkError{err}
}

// someService is the service that is meant: elsewhere or on this machine.
func someService(c *cli.Context) (*client.Client, *place, error) {
	p, err := findPlace(c)
	if err != nil {
		return nil, nil, err
	}
	cl, err := elsewhere(c)
	if err != nil || cl != nil {
		return cl, p, err
	}
	if cl, err = onThisMachine(p.stateDir); err == nil && cl == nil {
		err = environmentError{fmt.Errorf("asking the service of state directory %q: none runs: start one with `riscv-build serve`, or name one elsewhere with --server URL", p.stateDir)}
	}
	return cl, p, err
}

// buildElsewhere is the service that a build goes through; nil: this process
// builds itself.
func buildElsewhere(c *cli.Context) (*distantBuild, error) {
	own := wantsOwn(c)
	cl, err := elsewhere(c)
	switch {
	case err != nil:
		return nil, err
	case cl != nil && own != "":
		return nil, usagef("building with --server and %s: the service builds with what it has, for its registries: leave out one of the two", own)
	case cl == nil && own != "":
		return nil, nil
	}
	d := &distantBuild{Client: cl, c: c, here: cl == nil}
	if d.here {
		_, dir, err := locate(c)
		if err == nil {
			d.Client, err = onThisMachine(dir)
		}
		if err != nil || d.Client == nil {
			return nil, err
		}
	}
	if d.place, err = findPlace(c); err != nil {
		return nil, err
	}
	if d.here {
		d.place.display.Notice("building by the service of this machine")
	}
	return d, nil
}

// remoteFailure is a build that failed at a service, with the exit status it
// would have had here.
type remoteFailure struct {
	text string
	exit int
}

func (e *remoteFailure) Error() string { return e.text }

// ExitCode is that of the build.
func (e *remoteFailure) ExitCode() int { return cmp.Or(e.exit, exitFailed) }

// namesFile tells a recipe file from a name.
func namesFile(arg string) bool {
	info, err := os.Stat(arg)
	return err == nil && !info.IsDir() || strings.ContainsRune(arg, filepath.Separator) || filepath.Ext(arg) != ""
}
