package main

import (
	"context"
	"errors"
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

// readCache reads a value of --cache-from or --cache-to.
func readCache(flag, value string) (cachePlace, error) {
	forms, dir := cacheFromForms, "src"
	if flag == "cache-to" {
		forms, dir = cacheToForms, "dest"
	}
	wrong := func(what string) (cachePlace, error) {
		return cachePlace{}, usagef("reading --%s %q: %s: write %s", flag, value, what, strings.ReplaceAll(forms, "|type", " or type"))
	}
	keys := map[string]string{}
	for _, part := range strings.Split(value, ",") {
		k, v, ok := strings.Cut(part, "=")
		if _, twice := keys[k]; !ok || twice || v == "" {
			return wrong("\"" + part + "\" is not KEY=VALUE, or is there twice")
		}
		keys[k] = v
	}
	p := cachePlace{registry: keys["type"] == "registry", all: keys["mode"] == "max"}
	at := map[string]string{"registry": "ref", "local": dir}[keys["type"]]
	if at == "" {
		return wrong("there is no type \"" + keys["type"] + "\"")
	}
	if p.at = keys[at]; p.at == "" {
		return wrong("it lacks " + at)
	}
	if mode, ok := keys["mode"]; ok && (flag == "cache-from" || mode != "min" && mode != "max") {
		return wrong("mode=" + mode + " is not for it")
	}
	for k := range keys {
		if k != "type" && k != "mode" && k != at {
			return wrong("there is no " + k)
		}
	}
	return p, nil
}

// caches are the places of one flag.
func (s *session) caches(c *cli.Context, flag string) ([]builder.CacheStore, []cachePlace, error) {
	var stores []builder.CacheStore
	var places []cachePlace
	to := newPusher(s.place)
	for _, value := range c.StringSlice(flag) {
		p, err := readCache(flag, value)
		if err != nil {
			return nil, nil, err
		}
		var store builder.CacheStore = pusher.ArtifactDir(p.at)
		if p.registry {
			if store, err = to.Artifact(p.at); err != nil {
				return nil, nil, usageError{err}
			}
		}
		stores, places = append(stores, store), append(places, p)
	}
	return stores, places, nil
}

// withCaches runs builds that take from the caches of --cache-from, and writes
// what they used to those of --cache-to; also where some of the recipes failed.
func (s *session) withCaches(c *cli.Context, requests []builder.Request, build func() error) error {
	from, _, err := s.caches(c, "cache-from")
	if err != nil {
		return err
	}
	to, places, err := s.caches(c, "cache-to")
	if err != nil {
		return err
	}
	if len(from) > 0 {
		if err := s.builder.ImportCaches(c.Context, from); err != nil {
			return err
		}
	}
	failed := build()
	if c.Context.Err() != nil {
		return failed
	}
	return errors.Join(failed, s.exportCaches(c.Context, to, places, requests))
}

func (s *session) exportCaches(ctx context.Context, to []builder.CacheStore, places []cachePlace, requests []builder.Request) error {
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
