package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/pusher"
)

// The forms of --cache-from and --cache-to.
const (
	cacheFromForms = "type=registry,ref=HOST/REPO[:TAG]|type=local,src=DIR"
	cacheToForms   = "type=registry,ref=HOST/REPO[:TAG][,mode=min|max]|type=local,dest=DIR[,mode=min|max]"
)

func cacheFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "cache-from", Usage: "take what this run would build and another has built from `" + cacheFromForms + "` (may be repeated)"},
		&cli.StringSliceFlag{Name: "cache-to", Usage: "write what this run used to `" + cacheToForms + "`; max: the compiler's packages too (may be repeated)"},
	}
}

// cachePlace is one --cache-from or --cache-to.
type cachePlace struct {
	registry bool
	at       string // reference or directory
	all      bool   // mode=max
}

// caches are what --cache-from and --cache-to name.
type caches struct{ from, to []cachePlace }

// readCaches reads --cache-from and --cache-to, and reports all that is wrong
// with them at once.
func readCaches(c *cli.Context) (caches, error) {
	var problems []error
	read := func(flag string) (places []cachePlace) {
		for _, value := range c.StringSlice(flag) {
			p, err := readCache(flag, value)
			places = append(places, p)
			if err == nil && p.registry && c.Bool("offline") {
				err = usagef("reading --%s %q: with --offline no registry is asked or sent anything: leave out one of the two, or keep the cache in a directory (type=local,%s=DIR)", flag, value, cacheDir[flag])
			}
			problems = append(problems, err)
		}
		return places
	}
	all := caches{from: read("cache-from"), to: read("cache-to")}
	return all, errors.Join(problems...)
}

// cacheForms and cacheDir are the forms of each flag, and its key for a directory.
var (
	cacheForms = map[string]string{"cache-from": cacheFromForms, "cache-to": cacheToForms}
	cacheDir   = map[string]string{"cache-from": "src", "cache-to": "dest"}
)

// readCache reads a value of --cache-from or --cache-to.
func readCache(flag, value string) (cachePlace, error) {
	keyOf := map[string]string{"registry": "ref", "local": cacheDir[flag]}
	var wrong []string
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	keys := map[string]string{}
	for _, part := range strings.Split(value, ",") {
		k, v, ok := strings.Cut(part, "=")
		_, twice := keys[k]
		keys[k] = v
		switch {
		case !ok || v == "":
			bad("%q is not KEY=VALUE", part)
		case twice:
			bad("%s is there twice", k)
		case k != "type" && k != "mode" && k != "ref" && k != cacheDir[flag]:
			bad("there is no key %q", k)
		case k == "mode" && (flag == "cache-from" || v != "min" && v != "max"):
			bad("mode=%s is not for it", v)
		}
	}
	kind := keys["type"]
	at, known := keyOf[kind]
	p := cachePlace{registry: kind == "registry", at: keys[at], all: keys["mode"] == "max"}
	switch {
	case kind == "":
		bad("it lacks type")
	case !known:
		bad("there is no type %q", kind)
	case p.at == "":
		bad("it lacks %s", at)
	case p.registry:
		if err := pusher.CheckArtifact(p.at); err != nil {
			bad("%v", err)
		}
	}
	for _, key := range []string{"ref", cacheDir[flag]} {
		if known && key != at && keys[key] != "" {
			bad("%s is not for type=%s", key, kind)
		}
	}
	if len(wrong) > 0 {
		return cachePlace{}, usagef("reading --%s %q: %s: write %s", flag, value, strings.Join(wrong, "; "), strings.ReplaceAll(cacheForms[flag], "|type", " or type"))
	}
	return p, nil
}

// stores are the places of one flag, to read from or to write to.
func (s *session) stores(places []cachePlace) ([]builder.CacheStore, error) {
	var stores []builder.CacheStore
	to := newPusher(s.place)
	for _, p := range places {
		if !p.registry {
			stores = append(stores, pusher.ArtifactDir(p.at))
			continue
		}
		store, err := to.Artifact(p.at)
		if err != nil {
			return nil, usageError{err}
		}
		stores = append(stores, store)
	}
	return stores, nil
}

// withCaches runs builds that take from the caches of --cache-from, and writes
// what they used to those of --cache-to; also where some of the recipes failed.
func (s *session) withCaches(ctx context.Context, used caches, requests []builder.Request, build func() error) error {
	from, err := s.stores(used.from)
	if err != nil {
		return err
	}
	if len(from) > 0 {
		if err := s.builder.ImportCaches(ctx, from); err != nil {
			return err
		}
	}
	failed := build()
	if ctx.Err() != nil {
		return failed
	}
	return errors.Join(failed, s.exportCaches(ctx, used.to, requests))
}

func (s *session) exportCaches(ctx context.Context, places []cachePlace, requests []builder.Request) error {
	to, err := s.stores(places)
	if err != nil {
		return err
	}
	var names []string
	for _, req := range requests {
		for r := req.Recipe; r != nil; r = r.Base() {
			names = append(names, r.Name)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	for i, store := range to {
		if err := s.builder.ExportCache(ctx, store, names, places[i].all); err != nil {
			return err
		}
	}
	return nil
}
