package main

import (
	"strings"
	"time"

	"github.com/urfave/cli/v2"
)

func serveCommand() *cli.Command {
	return &cli.Command{
		Name: "serve", Usage: "build for others: a queue, a schedule, an API and a page",
		Description: "Who may do what is said by tokens (--token-file, `serve token add`). Commands on this machine need none: they\n" +
			"reach the service through a socket in its state directory that only its user may open. Plain HTTP that others\n" +
			"could read along needs --insecure-http. SIGHUP reads tokens and certificate again; SIGTERM ends it, and the\n" +
			"build that was running is built when it is started again.",
		Flags:       flags(stateFlags(), archiveFlags(), engineFlags(), containerdFlags(), limitFlags(), serveFlags(), serveAccessFlags(), serveRegistryFlags()),
		Subcommands: []*cli.Command{serveTokenCommand()},
		Action:      serve,
	}
}

func serveFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "addr", Value: ":8080", Usage: "listen on `[ADDRESS]:PORT`"},
		&cli.StringFlag{Name: "recipes", Usage: "offer the recipes of the directory or git repository `DIR|GIT-URL` besides the catalogue"},
		&cli.StringFlag{Name: "recipes-ref", Usage: "take the branch, tag or commit `REF` of --recipes"},
		&cli.StringSliceFlag{Name: "push", Usage: "push to the registry `HOST[:PORT][/PREFIX]` what names none itself (may be repeated)"},
		&cli.StringFlag{Name: "webhook-file", Usage: "take webhooks, with the secrets in `FILE` (TOML), that build what a push changed"},
		&cli.StringFlag{Name: "disk-floor", Value: "1GB", Usage: "end a build when less than `SIZE` is free in the state directory"},
		&cli.IntFlag{Name: "keep-builds", Value: 1000, Usage: "remember the last `N` builds (0: all)"},
		&cli.DurationFlag{Name: "keep-logs", Value: 30 * 24 * time.Hour, Usage: "keep logs and events of ended builds for `TIME` (0: as long as the builds)"},
		&cli.StringFlag{Name: "log-format", Value: "text", Usage: "log as `FORMAT`: " + strings.Join(logFormats, ", ")},
		&cli.BoolFlag{Name: "quiet", Usage: "log only what goes wrong"},
		jobsFlag(),
	}
}

func serveAccessFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "token-file", Usage: "who shows a token of `FILE` may do what it says"},
		&cli.BoolFlag{Name: "open", Usage: "everybody may see builds, recipes and the registry without a token"},
		&cli.BoolFlag{Name: "insecure-http", Usage: "speak plain HTTP on an address that others reach"},
		&cli.StringFlag{Name: "tls-cert", Usage: "speak HTTPS with the certificate in `FILE` (PEM)"},
		&cli.StringFlag{Name: "tls-key", Usage: "the key of --tls-cert is in `FILE` (PEM)"},
		&cli.StringFlag{Name: "tls-self-signed", Usage: "speak HTTPS with a certificate for `HOST,IP,...` by a CA that is made for it"},
	}
}

func serveRegistryFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "registry", Usage: "serve the registry of the state directory, too, and push there by default"},
		&cli.StringFlag{Name: "registry-addr", Value: ":6000", Usage: "the registry listens on `[ADDRESS]:PORT`"},
		&cli.StringFlag{Name: "registry-htpasswd", Usage: "the registry asks for an account of `FILE` (bcrypt: htpasswd -B)"},
	}
}

func serve(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	s, err := newServer(c)
	if err != nil {
		return err
	}
	return s.run()
}
