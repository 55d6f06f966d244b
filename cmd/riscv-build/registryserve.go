package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/pusher/registry"
)

// serveMemoryLimit is where the collector begins to work harder while a
// registry is served, in bytes: it may run for years beside what a board is for.
const serveMemoryLimit = 64 << 20

func registryServeCommand() *cli.Command {
	return &cli.Command{
		Name: "serve", Usage: "serve a registry from a directory",
		Description: "Plain HTTP and open to everybody, unless flags say otherwise. SIGHUP reads accounts and certificate again;\n" +
			"SIGTERM ends it when the requests that are under way are answered. /healthz says whether it can write.",
		Flags: flags(stateFlags(), registryRootFlags(), []cli.Flag{
			&cli.StringFlag{Name: "addr", Value: ":6000", Usage: "listen on `[ADDRESS]:PORT`"},
			&cli.StringFlag{Name: "tls-cert", Usage: "speak HTTPS with the certificate in `FILE` (PEM)"},
			&cli.StringFlag{Name: "tls-key", Usage: "the key of --tls-cert is in `FILE` (PEM)"},
			&cli.StringFlag{Name: "tls-self-signed", Usage: "speak HTTPS with a certificate for `HOST,IP,...` by a CA that is made for it"},
			&cli.StringFlag{Name: "htpasswd", Usage: "ask for an account of `FILE` (bcrypt: htpasswd -B)"},
			&cli.BoolFlag{Name: "anonymous-pull", Usage: "with --htpasswd: pulls need no account"},
			&cli.StringFlag{Name: "proxy", Usage: "serve a cache of the registry `[http://|https://]HOST[:PORT][/PREFIX]`, for pulls only"},
			&cli.BoolFlag{Name: "read-only", Usage: "take no pushes and delete nothing"},
			&cli.BoolFlag{Name: "metrics", Usage: "count requests at /metrics, for Prometheus"},
			&cli.StringFlag{Name: "log-format", Value: "text", Usage: "log requests as `FORMAT`: " + strings.Join(logFormats, ", ")},
			&cli.BoolFlag{Name: "quiet", Usage: "log only what goes wrong"},
		}),
		Action: registryServe,
	}
}

var logFormats = []string{"text", "json"}

func registryRootFlags() []cli.Flag {
	return []cli.Flag{&cli.StringFlag{Name: "root", Usage: "the registry's content is in `DIR` (default: registry in the state directory)"}}
}

// registryRoot is the directory of the registry that is meant. A cache has one
// of its own.
func registryRoot(c *cli.Context, p *place) string {
	switch {
	case c.String("root") != "":
		return c.String("root")
	case c.String("proxy") != "":
		return filepath.Join(p.stateDir, "registry-cache")
	}
	return filepath.Join(p.stateDir, "registry")
}

func registryServe(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	opt, err := serveOptions(c)
	if err != nil {
		return err
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(serveMemoryLimit)
	}
	server, err := registry.Listen(opt)
	if err != nil {
		return err
	}
	announce(c.App.ErrWriter, server, opt)
	stop := reloadOnHangup(c.App.ErrWriter, server)
	defer stop()
	return server.Serve(c.Context)
}

func serveOptions(c *cli.Context) (registry.ServeOptions, error) {
	var opt registry.ServeOptions
	for _, err := range []error{
		checkChoice("log-format", c.String("log-format"), logFormats),
		checkTogether(c, "tls-cert", "tls-key"),
		checkApart(c, "tls-cert", "tls-self-signed"),
		checkAddress(c.String("addr")),
	} {
		if err != nil {
			return opt, err
		}
	}
	if c.Bool("anonymous-pull") && c.String("htpasswd") == "" {
		return opt, usagef("reading --anonymous-pull: nobody is asked for an account: give --htpasswd FILE too, or leave it out")
	}
	p, err := findPlace(c)
	if err != nil {
		return opt, err
	}
	root, upstream := registryRoot(c, p), c.String("proxy")
	if upstream != "" {
		if opt.Upstream, err = newPusher(p).Remote(upstream); err != nil {
			return opt, usageError{err}
		}
	}
	opt = registry.ServeOptions{
		Root: root, Address: c.String("addr"), CertFile: c.String("tls-cert"), KeyFile: c.String("tls-key"),
		Htpasswd: c.String("htpasswd"), AnonymousPull: c.Bool("anonymous-pull"), ReadOnly: c.Bool("read-only"), Metrics: c.Bool("metrics"),
		Upstream: opt.Upstream,
	}
	opt.SelfSigned, err = certificateNames(c.String("tls-self-signed"))
	opt.Log = requestLog(c)
	return opt, err
}

// requestLog writes requests and what goes wrong; with --quiet the latter only.
func requestLog(c *cli.Context) *slog.Logger {
	var opt slog.HandlerOptions
	if c.Bool("quiet") {
		opt.Level = slog.LevelWarn
	}
	if c.String("log-format") == "json" {
		return slog.New(slog.NewJSONHandler(c.App.ErrWriter, &opt))
	}
	return slog.New(slog.NewTextHandler(c.App.ErrWriter, &opt))
}

// checkTogether refuses one of two flags without the other.
func checkTogether(c *cli.Context, a, b string) error {
	if (c.String(a) == "") != (c.String(b) == "") {
		return usagef("reading --%s and --%s: they belong together: give both", a, b)
	}
	return nil
}

// checkApart refuses two flags of which only one can be meant.
func checkApart(c *cli.Context, a, b string) error {
	if c.String(a) != "" && c.String(b) != "" {
		return usagef("reading --%s and --%s: only one can be meant: leave one out", a, b)
	}
	return nil
}

func checkAddress(addr string) error { return checkListen("addr", addr) }

// checkListen refuses an address that nothing can listen at.
func checkListen(flag, addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return usagef("reading --%s %q: %w: write [ADDRESS]:PORT, for example :6000", flag, addr, err)
	}
	return nil
}

// certificateNames splits HOST,IP,...
func certificateNames(text string) ([]string, error) {
	var names []string
	for name := range strings.SplitSeq(text, ",") {
		name = strings.Trim(strings.TrimSpace(name), "[]")
		switch {
		case name == "":
		case net.ParseIP(name) == nil && strings.ContainsAny(name, ":/@ _"):
			return nil, usagef("reading --tls-self-signed %q: %q is no host name or address: write them without scheme and port, separated by commas", text, name)
		default:
			names = append(names, name)
		}
	}
	if text != "" && len(names) == 0 {
		return nil, usagef("reading --tls-self-signed %q: it names nothing: write HOST,IP,...", text)
	}
	return names, nil
}

// announce says where the registry is and how clients reach it.
func announce(w io.Writer, server *registry.Server, opt registry.ServeOptions) {
	scheme, ca := "http://", ""
	if server.TLS() {
		scheme = "https://"
	}
	hosts := reachable(server.Address())
	if len(opt.SelfSigned) > 0 {
		hosts = slices.Clone(opt.SelfSigned) // the server renews its certificate for these
		ca = " --ca " + server.CAFile()
	}
	_, port, err := net.SplitHostPort(server.Address().String())
	if err != nil {
		port = "6000"
	}
	for i, host := range hosts {
		hosts[i] = net.JoinHostPort(host, port)
	}
	fmt.Fprintf(w, "serving registry %q on %s%s; clients reach it as %s; configure them: riscv-build configure k3s --registry %s%s%s --write\n",
		opt.Root, scheme, server.Address(), strings.Join(hosts, ", "), scheme, hosts[0], ca)
	if server.CAFile() != "" {
		fmt.Fprintf(w, "clients must trust the CA in %q: copy it to them, and name it where it is then\n", server.CAFile())
	}
}

// reachable lists the addresses at which others reach a listener: its own, or
// those of the interfaces if it listens on all.
func reachable(at net.Addr) []string {
	tcp, ok := at.(*net.TCPAddr)
	if ok && !tcp.IP.IsUnspecified() {
		return []string{tcp.IP.String()}
	}
	var hosts []string
	addrs, err := net.InterfaceAddrs()
	for _, a := range addrs {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.IsGlobalUnicast() {
			hosts = append(hosts, ip.IP.String())
		}
	}
	if err != nil || len(hosts) == 0 {
		hosts = []string{"localhost"} // no network yet
	}
	return hosts
}

// reloadOnHangup reads accounts and certificate again at SIGHUP, until stop.
func reloadOnHangup(w io.Writer, server *registry.Server) (stop func()) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		for {
			select {
			case <-hangup:
			case <-ctx.Done():
				return
			}
			if err := server.Reload(); err != nil {
				fmt.Fprintf(w, "riscv-build: %v: what was read before stays in use\n", err)
			}
		}
	}()
	return func() {
		signal.Stop(hangup)
		cancel()
	}
}
