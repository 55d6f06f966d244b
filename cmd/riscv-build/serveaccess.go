package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder/service/access"
	"github.com/riscv-build/riscv-build/pusher/registry"
)

// The files of the service in the state directory.
const (
	serviceDir    = "service"
	serviceLock   = "lock"
	serviceSocket = "socket"
	serviceStore  = "store.db"
	serviceSource = "source"
	serviceTLS    = "tls"
)

// checkServe refuses flags that do not go together, before anything is opened.
func checkServe(c *cli.Context) error {
	for _, err := range []error{
		checkChoice("log-format", c.String("log-format"), logFormats),
		checkTogether(c, "tls-cert", "tls-key"),
		checkApart(c, "tls-cert", "tls-self-signed"),
		checkAddress(c.String("addr")),
		checkOpen(c),
	} {
		if err != nil {
			return err
		}
	}
	switch {
	case c.Int("keep-builds") < 0 || c.Duration("keep-logs") < 0:
		return usagef("reading --keep-builds %d and --keep-logs %s: give numbers of at least 0; 0 keeps all", c.Int("keep-builds"), c.Duration("keep-logs"))
	case c.String("recipes-ref") != "" && c.String("recipes") == "":
		return usagef("reading --recipes-ref: there is no repository it could be of: name it with --recipes")
	case c.String("registry-htpasswd") != "" && !c.Bool("registry"):
		return usagef("reading --registry-htpasswd: no registry is served: say --registry, too")
	}
	return nil
}

// checkOpen refuses an address that others reach where they could read tokens
// along, or where nobody could do anything.
func checkOpen(c *cli.Context) error {
	address := c.String("addr")
	if loopback(address) {
		return nil
	}
	if c.String("token-file") == "" && !c.Bool("open") {
		return usagef("serving at %q without --token-file: nobody could do anything there: make a token with `riscv-build serve token add NAME --role build --token-file F` and give --token-file F, or listen on this machine only with --addr 127.0.0.1:8080", address)
	}
	if c.String("tls-cert") == "" && c.String("tls-self-signed") == "" && !c.Bool("insecure-http") {
		return usagef("serving at %q in plain HTTP: whoever is on the network could read the tokens along and use them: give --tls-self-signed HOST,IP or --tls-cert and --tls-key, or say --insecure-http, for instance behind a proxy that speaks HTTPS", address)
	}
	return nil
}

// loadTokens reads --token-file.
func loadTokens(c *cli.Context) (*access.Tokens, error) {
	path := c.String("token-file")
	if path == "" {
		return nil, nil
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, usagef("reading --token-file %q: there is no such file: make it, with a first token, by `riscv-build serve token add NAME --role build --token-file %s`", path, path)
	}
	tokens, err := access.Load(path)
	if err != nil {
		return nil, usageError{err}
	}
	return tokens, nil
}

// openCertificates reads or makes the certificate of the service; nil: plain HTTP.
func openCertificates(c *cli.Context, dir string, log *slog.Logger) (*registry.Certificates, error) {
	names, err := certificateNames(c.String("tls-self-signed"))
	if err != nil {
		return nil, err
	}
	return registry.OpenCertificates(registry.CertificateOptions{
		CertFile: c.String("tls-cert"), KeyFile: c.String("tls-key"), SelfSigned: names, Dir: filepath.Join(dir, serviceTLS),
		Warn: func(err error) { log.Warn("certificate", "error", err.Error()) },
	})
}

// listenLocal makes the socket for the commands on this machine. The caller
// holds the lock of the directory: a socket that is there is of a dead service.
func listenLocal(dir string) (net.Listener, error) {
	path := filepath.Join(dir, serviceSocket)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, environmentError{fmt.Errorf("replacing the socket of a service that has ended: %w: remove it", err)}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, environmentError{fmt.Errorf("listening at %q: %w: choose a state directory with a shorter path", path, err)}
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(environmentError{err}, l.Close())
	}
	return l, nil
}

// serveHTTP answers until the context ends; then requests that are under way
// have a moment.
func serveHTTP(ctx context.Context, server *http.Server, l net.Listener) error {
	server.BaseContext = func(net.Listener) context.Context { return ctx } // ends streams
	ended := make(chan error, 1)
	go func() {
		if server.TLSConfig != nil {
			ended <- server.ServeTLS(l, "", "")
		} else {
			ended <- server.Serve(l)
		}
	}()
	select {
	case err := <-ended:
		return fmt.Errorf("serving at %s: %w: start it again", l.Addr(), err)
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastAnswers)
	defer cancel()
	if server.Shutdown(last) != nil {
		return server.Close()
	}
	return nil
}
