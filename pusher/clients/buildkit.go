package clients

import (
	"path"
	"slices"
)

// buildkit plans the registry's block of buildkitd.toml.
func (p *planner) buildkit() error {
	dir := "/etc/buildkit"
	if p.opt.Rootless {
		dir = path.Join(p.opt.Home, ".config/buildkit")
	}
	name := path.Join(dir, "buildkitd.toml")
	text, err := p.read(name)
	if err != nil {
		return err
	}
	f, err := openTOML(name, text)
	if err != nil {
		return err
	}
	if err := p.buildkitRegistry(f, dir); err != nil {
		return err
	}
	for _, m := range p.mirrors {
		if err := p.buildkitMirror(f, m); err != nil {
			return err
		}
	}
	if text == nil && len(f.text) == 0 {
		p.notef("buildkit needs no setting for a registry with HTTPS and a certificate that the system trusts")
		return nil
	}
	if p.opt.User != "" {
		p.notef("buildkit asks the client for accounts: run `docker login -u %s %s` where the build is started", p.opt.User, p.registry.host)
	}
	p.notef("a builder that runs in a container does not read %q: make it with `docker buildx create --buildkitd-config %s`", name, name)
	if err := p.put(name, f.text, false); err != nil {
		return err
	}
	restart := "systemctl restart buildkit"
	if p.opt.Rootless {
		restart = "systemctl --user restart buildkit"
	}
	p.restarts(restart, name)
	return nil
}

func (p *planner) buildkitRegistry(f *tomlFile, dir string) error {
	if err := buildkitScheme(f, p.registry); err != nil || p.ca == nil {
		return err
	}
	ca, err := p.caPath(path.Join(dir, "certs"))
	if err != nil {
		return err
	}
	key := []string{"registry", p.registry.host, "ca"}
	if slices.Contains(f.strings(key...), ca) {
		return nil
	}
	return f.putFirst(ca, key...)
}

// buildkitScheme says plain HTTP, or takes back that it was said.
func buildkitScheme(f *tomlFile, at endpoint) error {
	for _, key := range []string{"insecure", "http"} {
		name := []string{"registry", at.host, key}
		if !at.plain && f.get(name...) == nil {
			continue
		}
		if err := f.set(at.plain, name...); err != nil {
			return err
		}
	}
	return nil
}

func (p *planner) buildkitMirror(f *tomlFile, m mirror) error {
	item := m.at.host
	if m.prefix != "" {
		item += "/" + m.prefix
	}
	if m.of == dockerHub && m.prefix != "" {
		return requestf("configuring buildkit with mirror %q: it asks a mirror for %s/library/nginx and cannot leave \"library\" out, as K3s and podman can: push to library/..., or leave the path out", item, m.prefix)
	}
	if err := buildkitScheme(f, m.at); err != nil {
		return err
	}
	key := []string{"registry", m.of, "mirrors"}
	if slices.Contains(f.strings(key...), item) {
		return nil
	}
	return f.putFirst(item, key...)
}
