package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder/engine/embedded"
)

// The directories of the state directory for engines that others use: a build
// of this machine does not wait for them.
const servedSuffix = "-served"

func engineServeCommand() *cli.Command {
	return &cli.Command{
		Name: "serve", Usage: "let others build with this machine's engine, as a BuildKit daemon",
		Description: "Clients are riscv-build with --engine, buildctl and buildx (driver remote). What they build has no network\n" +
			"but loopback, whatever they ask for, and pulls nothing. Whoever may connect may do on this machine what\n" +
			"root may: TCP wants certificates of both sides. SIGTERM ends it, and what is being built.",
		Flags: flags(stateFlags(), containerdFlags(), limitFlags(), []cli.Flag{
			addressFlag(),
			&cli.StringFlag{Name: "tls-ca", Usage: "let those connect whose certificate is signed by an authority of `FILE` (PEM)"},
			&cli.StringFlag{Name: "tls-cert", Usage: "show the certificate in `FILE` (PEM)"},
			&cli.StringFlag{Name: "tls-key", Usage: "the key of --tls-cert is in `FILE` (PEM)"},
			&cli.BoolFlag{Name: "insecure", Usage: "let everybody connect over TCP who can reach the address"},
			&cli.BoolFlag{Name: "prepare", Usage: "make the container that this runs in ready first: cgroups, and QEMU for riscv64 programs"},
		}),
		Action: engineServe,
	}
}

func engineServe(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	p, err := findPlace(c)
	if err != nil {
		return err
	}
	s := &session{place: p}
	if s.limit, err = cacheLimit(c.String("cache-limit"), p); err != nil {
		return err
	}
	opts, err := s.chooseEngine(c)
	if err != nil {
		return err
	}
	opts.Root += servedSuffix
	if c.Bool("prepare") {
		prepareContainer(c)
	}
	listener, err := listen(c)
	if err != nil {
		return err
	}
	err = embedded.Serve(c.Context, opts, listener, func() {
		fmt.Fprintf(c.App.ErrWriter, "serving the engine at %s\n", c.String("addr"))
	})
	if err == nil {
		fmt.Fprintln(c.App.ErrWriter, "the engine has ended")
	}
	return err
}

// listen opens the socket that clients connect to.
func listen(c *cli.Context) (net.Listener, error) {
	if err := checkTogether(c, "tls-cert", "tls-key"); err != nil {
		return nil, err
	}
	network, address, err := listenAddress(c)
	if err != nil {
		return nil, err
	}
	if network == "unix" {
		return listenUnix(address)
	}
	config, err := serveTLS(c, address)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, environmentError{fmt.Errorf("listening at %q: %w: choose another --addr", address, err)}
	}
	if config != nil {
		l = tls.NewListener(l, config)
	}
	return l, nil
}

// listenUnix makes a socket that root and its group may use. One that nobody
// listens at any more is replaced.
func listenUnix(path string) (net.Listener, error) {
	refuse := func(err error) error {
		return environmentError{fmt.Errorf("listening at %q: %w: choose another socket with --addr", path, err)}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, refuse(err)
	}
	if info, err := os.Lstat(path); err == nil {
		if info.Mode()&os.ModeSocket == 0 {
			return nil, refuse(errors.New("there is something else than a socket"))
		}
		if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
			return nil, errors.Join(refuse(errors.New("another engine listens there")), conn.Close())
		}
		if err := os.Remove(path); err != nil {
			return nil, refuse(err)
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, refuse(err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		return nil, errors.Join(refuse(err), l.Close())
	}
	return l, nil
}

// serveTLS is how connections over TCP are secured; nil: not at all.
func serveTLS(c *cli.Context, address string) (*tls.Config, error) {
	if c.String("tls-cert") == "" || c.String("tls-ca") == "" {
		host, _, _ := net.SplitHostPort(address)
		ip := net.ParseIP(host)
		switch {
		case c.String("tls-cert") != "" && !c.Bool("insecure"):
			return nil, usagef("serving the engine at %q without asking clients for a certificate: everybody who can reach it would be root here: give --tls-ca, or say --insecure", address)
		case host != "localhost" && (ip == nil || !ip.IsLoopback()) && !c.Bool("insecure"):
			return nil, usagef("serving the engine at %q without TLS: everybody who can reach it would be root here: give --tls-ca, --tls-cert and --tls-key, or say --insecure", address)
		case c.String("tls-ca") != "":
			return nil, usagef("reading --tls-ca: there is no certificate to show: give --tls-cert and --tls-key, too")
		}
	}
	if c.String("tls-cert") == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(c.String("tls-cert"), c.String("tls-key"))
	if err != nil {
		return nil, usagef("reading --tls-cert %q: %w: give a certificate and its key in PEM form", c.String("tls-cert"), err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"}, Certificates: []tls.Certificate{pair}}
	if file := c.String("tls-ca"); file != "" {
		pem, err := os.ReadFile(file)
		config.ClientCAs = x509.NewCertPool()
		if err == nil && !config.ClientCAs.AppendCertsFromPEM(pem) {
			err = errors.New("no certificate in PEM form")
		}
		if err != nil {
			return nil, usagef("reading --tls-ca %q: %w", file, err)
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return config, nil
}
