package clients

import (
	"path"
	"regexp"
	"strings"
)

const (
	k3sDir       = "/etc/rancher/k3s"
	k3sTemplates = "/var/lib/rancher/k3s/agent/etc/containerd"
)

// k3s plans registries.yaml.
func (p *planner) k3s() error {
	if p.opt.Rootless {
		return requestf("configuring k3s with --rootless: it reads %s/registries.yaml only: leave --rootless out", k3sDir)
	}
	name := path.Join(k3sDir, "registries.yaml")
	text, err := p.read(name)
	if err != nil {
		return err
	}
	f, err := openYAML(name, text)
	if err != nil {
		return err
	}
	if err := p.k3sEndpoint(f, p.registry.host, p.registry); err != nil {
		return err
	}
	for _, m := range p.mirrors {
		if err := p.k3sMirror(f, m); err != nil {
			return err
		}
	}
	if err := p.k3sConfig(f); err != nil {
		return err
	}
	if err := p.put(name, f.text, p.opt.Password != ""); err != nil {
		return err
	}
	p.k3sNotes(f)
	p.restarts("systemctl restart k3s (on agents: systemctl restart k3s-agent), on every node that has the files", name)
	return nil
}

// k3sEndpoint puts an endpoint first among those of a registry's name. One of
// the same host with the other scheme becomes it.
func (p *planner) k3sEndpoint(f *yamlFile, of string, at endpoint) error {
	key := []string{"mirrors", of, "endpoint"}
	for _, e := range f.strings(key...) {
		if strings.TrimSuffix(strings.TrimSuffix(e, "/"), "/v2") == at.url() {
			return nil
		}
	}
	if n := f.get(key...); n != nil {
		for _, item := range n.Content {
			if sameHost(item.Value, at) {
				return f.replace(item, at.url())
			}
		}
	}
	return f.setFirst(at.url(), key...)
}

// k3sMirror lets a registry's images come from another. Under a prefix, those
// of docker.io that have no directory lose the "library" that their full name has.
func (p *planner) k3sMirror(f *yamlFile, m mirror) error {
	if m.prefix == "" {
		return p.k3sEndpoint(f, m.of, m.at)
	}
	pattern := "^(.*)"
	if m.of == dockerHub {
		pattern = "^library/(.*)"
	}
	p.notef("K3s applies the rewrite to %s only, not to the endpoint that it tries last, %s itself: start it with --disable-default-registry-endpoint if nothing may come from there", m.at.host, m.of)
	if err := f.set(m.prefix+"/$1", "mirrors", m.of, "rewrite", pattern); err != nil {
		return err
	}
	return p.k3sEndpoint(f, m.of, m.at)
}

// k3sConfig sets the certificate and the account.
func (p *planner) k3sConfig(f *yamlFile) error {
	key := func(names ...string) []string { return append([]string{"configs", p.registry.host}, names...) }
	if p.ca != nil {
		ca, err := p.caPath(path.Join(k3sDir, "certs"))
		if err != nil {
			return err
		}
		if err := f.set(ca, key("tls", "ca_file")...); err != nil {
			return err
		}
	}
	if n := f.get(key("tls", "insecure_skip_verify")...); n != nil && n.Value == "true" && !p.registry.plain {
		p.notef("%q says insecure_skip_verify for %s: the certificate is not verified; take that out if it is not needed", f.path, p.registry.host)
	}
	if p.opt.User == "" {
		return nil
	}
	if p.opt.Password != "" {
		if err := f.set(p.opt.Password, key("auth", "password")...); err != nil {
			return err
		}
	} else if f.get(key("auth", "password")...) == nil {
		p.notef("no password was given ($%s or --password-stdin): add it to %q below configs, %q, auth, as \"password: ...\", and make the file's mode 0600", PasswordVariable, f.path, p.registry.host)
	}
	return f.set(p.opt.User, key("auth", "username")...)
}

var k3sFlag = regexp.MustCompile(`private-registry["']?\s*[:=]?\s*["']?([^\s"']+)`)

// k3sNotes says what keeps registries.yaml from having its effect.
func (p *planner) k3sNotes(f *yamlFile) {
	p.notef("K3s reads registries.yaml of the node that pulls: it must be on every node, servers too")
	if p.registry.plain {
		p.notef("K3s tries https://%s last, so when a pull fails its error may be that of HTTPS; the first one is in /var/lib/rancher/k3s/agent/containerd/containerd.log", p.registry.host)
	}
	if other := path.Join(k3sDir, "registries.yml"); p.tree.exists(other) {
		p.notef("K3s ignores %q: only the name registries.yaml is read; move what it says there", other)
	}
	for _, template := range append(p.tree.list(k3sTemplates, "config.toml.tmpl"), p.tree.list(k3sTemplates, "config-v3.toml.tmpl")...) {
		text, _, err := p.tree.read(template)
		if err == nil && !strings.Contains(string(text), `template "base"`) {
			p.notef("%q replaces the containerd configuration that K3s makes, without which registries.yaml has no effect: have it include {{ template \"base\" . }}, or take it away", template)
		}
	}
	for _, name := range append([]string{path.Join(k3sDir, "config.yaml")}, p.tree.list(path.Join(k3sDir, "config.yaml.d"), "*.yaml")...) {
		text, _, _ := p.tree.read(name) // unreadable: it says nothing to this user
		for line := range strings.Lines(string(text)) {
			m := k3sFlag.FindStringSubmatch(line)
			if m != nil && !strings.HasPrefix(strings.TrimSpace(line), "#") && m[1] != f.path {
				p.notef("%q has K3s read %q instead of %q: copy the settings there", name, m[1], f.path)
			}
		}
	}
	if f.get("mirrors", "*") != nil || f.get("configs", "*") != nil && f.get("configs", p.registry.host) != nil {
		p.notef("%q has \"*\", which counts for registries without an entry only: no longer for %s", f.path, p.registry.host)
	}
}
