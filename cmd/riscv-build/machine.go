package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder/debian"
	"github.com/riscv-build/riscv-build/builder/host"
	"github.com/riscv-build/riscv-build/pusher"
	"github.com/riscv-build/riscv-build/pusher/clients"
	"github.com/riscv-build/riscv-build/pusher/containerd"
)

// pingTime bounds how long doctor waits for a registry.
const pingTime = 20 * time.Second

// hostOptions gathers what the machine is checked against: what builds with
// these flags would use.
func (p *place) hostOptions(c *cli.Context) (host.Options, error) {
	mirrors, err := p.mirrors(c, p.display.Verbose)
	if err != nil {
		return host.Options{}, err
	}
	o := host.Options{
		StateDir: p.stateDir, NotBefore: programDate(),
		Mirrors: mirrorURLs(mirrors.Debian), Security: mirrorURLs(mirrors.Security),
		QEMU: func(ctx context.Context) (path string, err error) {
			err = with(c, func(s *session) error {
				path, err = s.builder.Emulator(ctx)
				return err
			})
			return path, err
		},
	}
	if runtime.GOOS == "linux" {
		if o.Containerd, err = p.describeContainerd(c); err != nil {
			return o, err
		}
	}
	target, err := p.registry(c.String("registry"))
	if err == nil && target != "" {
		o.Registry, err = p.describeRegistry(c.Context, target)
	}
	return o, err
}

func mirrorURLs(mirrors []debian.Mirror) []string {
	var urls []string
	for _, m := range mirrors {
		urls = append(urls, m.URL)
	}
	return urls
}

// describeContainerd says which containerd a build would use; nil if it was told
// to use none.
func (p *place) describeContainerd(c *cli.Context) (*host.Containerd, error) {
	wanted := p.wantedContainerd(c)
	if wanted == containerd.None {
		return nil, nil
	}
	e, ok, err := p.containerd(c)
	switch {
	case is[usageError](err), c.Context.Err() != nil:
		return nil, err
	case err != nil:
		return &host.Containerd{Address: e.Address, Problem: err.Error(), Named: wanted != ""}, nil
	case !ok:
		return &host.Containerd{Problem: silentSocket()}, nil
	}
	found := &host.Containerd{Address: e.Address, Version: e.Version, Named: wanted != ""}
	found.Namespaces, err = containerdNamespaces(c.Context, e)
	if err != nil {
		found.Problem = err.Error()
	}
	return found, nil
}

// silentSocket tells of a socket that a containerd has left behind; "" if there
// is none.
func silentSocket() string {
	for _, socket := range []string{containerd.SystemSocket, containerd.K3sSocket} {
		if info, err := os.Stat(socket); err == nil && info.Mode().Type() == fs.ModeSocket {
			if os.Geteuid() != 0 {
				return fmt.Sprintf("%s answers root only", socket)
			}
			return fmt.Sprintf("nobody answers at %s", socket)
		}
	}
	return ""
}

func containerdNamespaces(ctx context.Context, e containerd.Endpoint) ([]string, error) {
	client, err := e.Dial()
	if err != nil {
		return nil, err
	}
	defer client.Close()
	names, err := client.NamespaceService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing the namespaces of containerd at %q: %w: look into its log", e.Address, err)
	}
	slices.Sort(names)
	return names, nil
}

// describeRegistry asks the registry, and reads whether the clients of this
// machine know how it is spoken to.
func (p *place) describeRegistry(ctx context.Context, target string) (*host.Registry, error) {
	named, _, err := pusher.ParseTarget(target)
	if err != nil {
		return nil, usageError{err}
	}
	asking, cancel := context.WithTimeout(ctx, pingTime)
	defer cancel()
	address, err := newPusher(p).Ping(asking, named)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return &host.Registry{Problem: err.Error()}, nil
	}
	r := &host.Registry{Address: address}
	if at, plain := strings.CutPrefix(address, "http://"); plain && !loopback(at) {
		checkClients(r, pullingClients())
	}
	return r, nil
}

// loopback says whether a registry is on this machine: with one of those every
// client tries HTTP by itself.
func loopback(registry string) bool {
	name := registry
	if host, _, err := net.SplitHostPort(registry); err == nil {
		name = host
	}
	addr, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return name == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// pullingClients are those of this machine that pull images for others: on a
// board K3s or containerd. The containerd beside docker pulls nothing by itself.
func pullingClients() []string {
	has := func(program string, places ...string) bool {
		_, err := exec.LookPath(program)
		return err == nil || slices.ContainsFunc(places, func(at string) bool { _, err := os.Stat(at); return err == nil })
	}
	var found []string
	docker, k3s := has("dockerd", "/usr/sbin/dockerd"), has("k3s", containerd.K3sSocket, "/etc/rancher/k3s")
	if runtime.GOOS == "darwin" {
		docker, k3s = has("docker"), false
	}
	if docker {
		found = append(found, "docker")
	}
	if k3s {
		found = append(found, "k3s")
	}
	if runtime.GOOS == "linux" && !docker && !k3s && has("containerd", containerd.SystemSocket) {
		found = append(found, "containerd")
	}
	return found
}

// checkClients compares the clients' configuration with what it must be for the
// registry, and says how it becomes that.
func checkClients(r *host.Registry, names []string) {
	r.Clients = names
	var refused []string
	for _, name := range names {
		plan, err := planClient(name, r.Address)
		switch {
		case err != nil:
			refused = append(refused, err.Error())
		case slices.ContainsFunc(plan.Files, (*clients.File).Changed):
			r.Unaware = append(r.Unaware, name)
		}
	}
	r.Refused = strings.Join(refused, "; ")
	r.Configure = func(report func(string)) error {
		var problems []error
		for _, name := range r.Unaware {
			problems = append(problems, configureClient(name, r.Address, report))
		}
		return errors.Join(problems...)
	}
}

func planClient(name, registry string) (*clients.Plan, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		home = "/root" // what is of the user is not looked at on Linux
	}
	return clients.New([]string{name}, clients.Options{Registry: registry, Root: "/", OS: runtime.GOOS, Home: home})
}

// configureClient does what `riscv-build configure NAME --write` does.
func configureClient(name, registry string, report func(string)) error {
	plan, err := planClient(name, registry)
	if err != nil {
		return err
	}
	written, err := plan.Write(time.Now())
	for _, w := range written {
		did := "wrote " + w.Path
		if w.Backup != "" {
			did += ", what was there: " + w.Backup
		}
		report(did)
	}
	if err == nil {
		for _, what := range plan.Restart {
			report("to do: " + what)
		}
	}
	return err
}
