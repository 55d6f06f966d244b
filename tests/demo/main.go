//go:build linux

// Command demo shows what riscv-build is for, in one go: it serves a registry on
// this machine (unless one answers there already), builds nginx for
// riscv64 from source, tests and pushes it, pulls it back, starts it under
// runc in a network of its own, and prints the page it serves. It removes what
// it made and stops what it started.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/containerd/log"
)

func main() {
	bin := flag.String("bin", "bin/riscv-build", "the `PROGRAM` to show")
	address := flag.String("registry", "127.0.0.1:6000", "`HOST:PORT` of the registry")
	name := flag.String("recipe", "nginx", "the `RECIPE` to build: one that serves a page on port 80")
	flag.Parse()
	_ = log.SetLevel("error") // what containerd's libraries warn of is for operators of daemons
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code, err := show(ctx, *bin, *address, *name)
	if err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
	}
	os.Exit(code)
}

// show runs the demonstration; the value is the exit status, riscv-build's own
// where that is what went wrong.
func show(ctx context.Context, bin, address, name string) (code int, err error) {
	work, err := os.MkdirTemp("/var/tmp", "riscv-build-demo-")
	if err != nil {
		return 1, fmt.Errorf("making a directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()

	stop, err := haveRegistry(ctx, bin, address, work)
	if err != nil {
		return 3, err
	}
	defer func() { err = errors.Join(err, stop()) }()

	ref, code, err := build(ctx, bin, name, address)
	if err != nil {
		return code, err
	}
	img, err := pull(ctx, ref, work)
	if err != nil {
		return 1, err
	}
	fmt.Printf("\npulled   %s (%s/%s)\n", ref, img.config.OS, img.config.Architecture)
	if err := serve(ctx, img, work); err != nil {
		return 1, err
	}
	return 0, nil
}

// build has riscv-build build and push a recipe, and gives a reference that
// was pushed.
func build(ctx context.Context, bin, name, address string) (ref string, code int, err error) {
	fmt.Printf("$ riscv-build %s --push %s\n", name, address)
	cmd := exec.CommandContext(ctx, bin, name, "--push", address, "--json")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it has things to clear
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", max(exit.ExitCode(), 1), fmt.Errorf("building %q: %w", name, err)
	}
	if err != nil {
		return "", 1, fmt.Errorf("building %q: %w", name, err)
	}
	var doc struct {
		Results []struct {
			Name, Version, Digest string
			Tags                  []string
			Stages                map[string]float64
			Tests                 []struct{ Name string }
		}
	}
	if err := json.Unmarshal(out, &doc); err != nil || len(doc.Results) != 1 || len(doc.Results[0].Tags) == 0 {
		return "", 1, fmt.Errorf("building %q: unexpected report (%w): %s", name, err, out)
	}
	r := doc.Results[0]
	fmt.Printf("\nbuilt    %s %s %s, engine %.0f s\n", r.Name, r.Version, r.Digest, r.Stages["engine"])
	for _, test := range r.Tests {
		fmt.Printf("tested   %s\n", test.Name)
	}
	for _, tag := range r.Tags {
		fmt.Printf("pushed   %s\n", tag)
	}
	return r.Tags[0], 0, nil
}
