package clients

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// Keys of daemon.json.
const (
	insecureRegistries = "insecure-registries"
	registryMirrors    = "registry-mirrors"
)

// docker plans daemon.json, and the certificate where the daemon looks for it.
func (p *planner) docker() error {
	dir := "/etc/docker"
	switch {
	case p.opt.OS == "darwin":
		dir = path.Join(p.opt.Home, ".docker")
	case p.opt.Rootless:
		dir = path.Join(p.opt.Home, ".config/docker")
	}
	cert := path.Join(dir, "certs.d", p.registry.host, "ca.crt")
	if err := p.certificate(cert); err != nil {
		return err
	}
	name := path.Join(dir, "daemon.json")
	text, err := p.read(name)
	if err != nil {
		return err
	}
	daemon, err := openJSON(name, text)
	if err != nil {
		return err
	}
	if err := p.dockerInsecure(daemon); err != nil {
		return err
	}
	if err := p.dockerMirrors(daemon); err != nil {
		return err
	}
	if text != nil || len(daemon.keys()) > 0 {
		if err := p.put(name, daemon.text, false); err != nil {
			return err
		}
	} else if p.ca == nil {
		p.notef("docker needs no setting for a registry with HTTPS and a certificate that the system trusts")
	}
	if p.opt.User != "" {
		p.notef("docker keeps accounts per user: run `docker login -u %s %s`", p.opt.User, p.registry.host)
	}
	p.dockerRestart(name, cert)
	return nil
}

func (p *planner) dockerRestart(name, cert string) {
	switch {
	case p.opt.OS == "darwin":
		p.restarts("restart Docker Desktop", name, cert)
	case p.opt.Rootless:
		p.restarts("systemctl --user restart docker", name)
	default:
		p.restarts("systemctl restart docker", name)
	}
}

// dockerInsecure puts a registry with plain HTTP into the list, and takes one
// with HTTPS out of it: its certificate would not be verified.
func (p *planner) dockerInsecure(daemon *jsonFile) error {
	old, err := daemon.strings(insecureRegistries)
	if err != nil {
		return err
	}
	list := slices.DeleteFunc(slices.Clone(old), func(s string) bool { return s == p.registry.host })
	if p.registry.plain {
		if slices.Contains(old, p.registry.host) {
			return nil
		}
		if err := p.dockerFlag("--insecure-registry", insecureRegistries); err != nil {
			return err
		}
		return daemon.setStrings(insecureRegistries, append(list, p.registry.host))
	}
	for _, entry := range list {
		if covers(entry, p.registry) {
			p.notef("docker does not verify the certificate of %s: %q in %s of %q covers it; take that out if it is not needed", p.registry.host, entry, insecureRegistries, daemon.path)
		}
	}
	return daemon.setStrings(insecureRegistries, list)
}

// covers says whether an entry is a network that the registry's address is in.
func covers(entry string, at endpoint) bool {
	network, err := netip.ParsePrefix(entry)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(at.name())
	return err == nil && network.Contains(addr)
}

// dockerMirrors puts the mirror of docker.io first. The daemon's setting has
// no other mirrors, and its addresses have no path.
func (p *planner) dockerMirrors(daemon *jsonFile) error {
	for _, m := range p.mirrors {
		if m.of != dockerHub {
			return requestf("configuring docker with a mirror of %q: its %s mirror docker.io only: leave docker out, or pull %s/... by name", m.of, registryMirrors, m.at.host)
		}
		if m.prefix != "" {
			return requestf("configuring docker with mirror %q: its %s take no path: leave the path out, or configure docker without --mirror", m.at.host+"/"+m.prefix, registryMirrors)
		}
		if p.opt.User != "" && m.at.host == p.registry.host {
			p.notef("docker asks mirrors without an account, and then docker.io itself: images of docker.io come from %s only if it lets everybody pull (registry serve --anonymous-pull); %s/... by name works with the account", m.at.host, m.at.host)
		}
		old, err := daemon.strings(registryMirrors)
		if err != nil {
			return err
		}
		if len(old) > 0 && strings.TrimSuffix(old[0], "/") == m.at.url() {
			continue
		}
		if err := p.dockerFlag("--registry-mirror", registryMirrors); err != nil {
			return err
		}
		list := slices.DeleteFunc(slices.Clone(old), func(s string) bool { return sameHost(s, m.at) })
		if err := daemon.setStrings(registryMirrors, slices.Insert(list, 0, m.at.url())); err != nil {
			return err
		}
	}
	return nil
}

// sameHost says whether a URL leads to an endpoint, whatever its scheme and path.
func sameHost(text string, at endpoint) bool {
	if _, rest, ok := strings.Cut(text, "://"); ok {
		text = rest
	}
	host, _, _ := strings.Cut(text, "/")
	return host == at.host
}

// dockerFlag refuses to set a key that the daemon's command line sets too: then
// dockerd does not start.
func (p *planner) dockerFlag(flag, key string) error {
	if p.opt.OS == "darwin" || p.opt.Rootless {
		return nil
	}
	files := []string{"/etc/default/docker", "/etc/sysconfig/docker"}
	for _, dir := range []string{"/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"} {
		files = append(files, path.Join(dir, "docker.service"))
		files = append(files, p.tree.list(path.Join(dir, "docker.service.d"), "*.conf")...)
	}
	for _, name := range files {
		text, _, err := p.tree.read(name)
		if err != nil {
			continue // it says nothing to this user
		}
		for i, line := range strings.Split(string(text), "\n") {
			if strings.Contains(line, flag) && !strings.HasPrefix(strings.TrimSpace(line), "#") {
				return &FileError{
					Path: name, Line: i + 1, Err: fmt.Errorf("dockerd does not start with %s here and %q in daemon.json", flag, key),
					Advice: "move what this line sets into daemon.json, then run this again",
				}
			}
		}
	}
	return nil
}
