package clients

import (
	"encoding/base64"
	"path"
	"slices"
	"strings"
)

// hostsFile is what hosts.toml says of one registry (containerd docs/hosts.md).
type hostsFile struct {
	registry     string // that images name
	server       string // where it is, tried last
	host         string // the URL that is tried first
	capabilities []string
	path         bool // host has a path of its own instead of /v2
	ca           bool
	account      bool
}

// hosts plans the directories of containerd and nerdctl: one for the registry,
// one for each that it is a mirror of. It gives the files.
func (p *planner) hosts(dirs []string, account bool) ([]string, error) {
	own := hostsFile{
		registry: p.registry.host, server: p.registry.url(), host: p.registry.url(),
		capabilities: []string{"pull", "resolve", "push"}, ca: p.ca != nil, account: account && p.opt.Password != "",
	}
	all := []hostsFile{own}
	for _, m := range p.mirrors {
		h := hostsFile{registry: m.of, server: "https://" + m.of, host: m.at.url(), capabilities: []string{"pull", "resolve"}}
		h.ca, h.account = own.ca && m.at == p.registry, own.account && m.at == p.registry
		switch {
		case m.of == dockerHub && m.prefix != "":
			return nil, requestf("configuring containerd or nerdctl with mirror %q: it asks a mirror for %s/library/nginx and cannot leave \"library\" out, as K3s and podman can: push to library/..., or leave the path out", m.at.host+"/"+m.prefix, m.prefix)
		case m.of == dockerHub:
			h.server = "https://registry-1.docker.io"
		case m.prefix != "":
			h.host, h.path = m.at.url()+"/v2/"+m.prefix, true
		}
		all = append(all, h)
	}
	var files []string
	for _, h := range all {
		name, err := p.hostsTOML(dirs, h)
		if err != nil {
			return nil, err
		}
		files = append(files, name)
	}
	return files, nil
}

func (p *planner) hostsTOML(dirs []string, h hostsFile) (string, error) {
	dir := p.hostDir(dirs, h.registry)
	name := path.Join(dir, "hosts.toml")
	text, err := p.read(name)
	if err != nil {
		return "", err
	}
	f, err := openTOML(name, text)
	if err != nil {
		return "", err
	}
	if other := otherScheme(h.host); f.get("host", other) != nil && f.get("host", h.host) == nil {
		if err := f.rename([]string{"host", other}, h.host); err != nil {
			return "", err
		}
	}
	if err = f.set(h.server, "server"); err == nil {
		err = f.setFirst(h.capabilities, "host", h.host, "capabilities")
	}
	if err == nil && h.path {
		err = f.set(true, "host", h.host, "override_path")
	}
	if err == nil {
		err = p.hostCA(f, dir, h)
	}
	if err == nil {
		err = p.hostAccount(f, h)
	}
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(h.host, "https:") && f.get("host", h.host, "skip_verify") == true {
		p.notef("%q says skip_verify for %s: the certificate is not verified; take that out if it is not needed", name, h.host)
	}
	return name, p.put(name, f.text, h.account)
}

// hostCA names the certificate for the host, and for the server too where they
// are the same: else the error of a missing image would be one of TLS. The path
// is relative to the directory, which so can be moved.
func (p *planner) hostCA(f *tomlFile, dir string, h hostsFile) error {
	if !h.ca {
		return nil
	}
	name := "ca.crt"
	if h.registry != p.registry.host {
		name = p.registry.fileName() + "-ca.crt"
	}
	if err := p.certificate(path.Join(dir, name)); err != nil {
		return err
	}
	if err := f.set(name, "host", h.host, "ca"); err != nil || h.server != h.host {
		return err
	}
	return f.set(name, "ca")
}

// hostAccount has the account sent to the host, and to the server too where they
// are the same: else the error of a missing image would be that of a missing account.
func (p *planner) hostAccount(f *tomlFile, h hostsFile) error {
	if !h.account {
		return nil
	}
	header := "Basic " + base64.StdEncoding.EncodeToString([]byte(p.opt.User+":"+p.opt.Password))
	if err := f.set(header, "host", h.host, "header", "authorization"); err != nil || h.server != h.host {
		return err
	}
	return f.set(header, "header", "authorization")
}

// hostDir finds the directory that containerd reads for a registry: of each
// root HOST_PORT_ before HOST:PORT. One without hosts.toml in a later root is
// for another program: the first root's comes before it.
func (p *planner) hostDir(dirs []string, host string) string {
	for i, dir := range dirs {
		names := []string{host}
		if at := strings.LastIndex(host, ":"); at > 0 {
			names = slices.Insert(names, 0, host[:at]+"_"+host[at+1:]+"_")
		}
		for _, name := range names {
			found := path.Join(dir, name)
			if !p.tree.exists(found) {
				continue
			}
			if i == 0 || p.tree.exists(path.Join(found, "hosts.toml")) {
				return found
			}
			return path.Join(dirs[0], host)
		}
	}
	return path.Join(dirs[0], host)
}

func otherScheme(url string) string {
	if rest, ok := strings.CutPrefix(url, "http://"); ok {
		return "https://" + rest
	}
	return "http://" + strings.TrimPrefix(url, "https://")
}

// nerdctl plans the same directories. Its settings may name others.
func (p *planner) nerdctl() error {
	dirs := []string{"/etc/containerd/certs.d", "/etc/docker/certs.d"}
	config := "/etc/nerdctl/nerdctl.toml"
	if p.opt.Rootless {
		home := path.Join(p.opt.Home, ".config")
		dirs = []string{path.Join(home, "containerd/certs.d"), path.Join(home, "docker/certs.d")}
		config = path.Join(home, "nerdctl/nerdctl.toml")
		if p.registry.loopback() {
			p.notef("rootless nerdctl pulls in a network namespace of its own, where %s is not this machine: use an address of the network", p.registry.host)
		}
	}
	text, err := p.read(config)
	if err != nil {
		return err
	}
	settings, err := openTOML(config, text)
	if err != nil {
		return err
	}
	if own := settings.strings("hosts_dir"); len(own) > 0 {
		dirs = own
	}
	if settings.get("insecure_registry") == true {
		p.notef("%q says insecure_registry: nerdctl verifies no registry's certificate; with the files here it is not needed", config)
	}
	if p.registry.plain {
		p.notef("nerdctl before 0.16 does not read hosts.toml: there, plain HTTP needs `nerdctl --insecure-registry`")
	}
	if p.opt.User != "" {
		p.notef("nerdctl keeps accounts per user: run `nerdctl login -u %s %s`", p.opt.User, p.registry.host)
	}
	_, err = p.hosts(dirs, false)
	return err
}
