package clients

import (
	"bytes"
	"fmt"
	"path"

	"github.com/BurntSushi/toml"
)

// podmanRegistry is one [[registry]] of containers-registries.conf(5), version 2.
type podmanRegistry struct {
	Prefix   string         `toml:"prefix,omitempty"`
	Location string         `toml:"location"`
	Insecure bool           `toml:"insecure,omitempty"`
	Mirrors  []podmanMirror `toml:"mirror,omitempty"`
}

type podmanMirror struct {
	Location string `toml:"location"`
	Insecure bool   `toml:"insecure,omitempty"`
}

// matches is what an image's name must begin with.
func (r podmanRegistry) matches() string {
	if r.Prefix != "" {
		return r.Prefix
	}
	return r.Location
}

// podmanConf is a file of registries.conf.d, or registries.conf itself.
type podmanConf struct {
	Registries []podmanRegistry `toml:"registry"`
}

// podman plans a file of its own in registries.conf.d, and the certificate.
func (p *planner) podman() error {
	dir := "/etc/containers"
	if p.opt.Rootless {
		dir = path.Join(p.opt.Home, ".config/containers")
	}
	if err := p.certificate(path.Join(dir, "certs.d", p.registry.host, "ca.crt")); err != nil {
		return err
	}
	name := path.Join(dir, "registries.conf.d", "50-riscv-build-"+p.registry.fileName()+".conf")
	old, err := p.read(name)
	if err != nil {
		return err
	}
	conf := p.podmanConf()
	if old == nil && !p.registry.plain && len(p.mirrors) == 0 {
		if p.ca == nil {
			p.notef("podman needs no setting for a registry with HTTPS and a certificate that the system trusts")
		}
	} else {
		var text bytes.Buffer
		fmt.Fprintf(&text, "# How podman, buildah and skopeo reach %s; written by `riscv-build configure podman`.\n", p.registry.host)
		encoder := toml.NewEncoder(&text)
		encoder.Indent = ""
		if err := encoder.Encode(conf); err != nil {
			return fmt.Errorf("writing %q: %w", name, err)
		}
		if err := p.put(name, text.Bytes(), false); err != nil {
			return err
		}
	}
	if p.opt.User != "" {
		p.notef("podman keeps accounts per user: run `podman login -u %s %s`", p.opt.User, p.registry.host)
	}
	return p.podmanConflicts(dir, name, conf)
}

func (p *planner) podmanConf() podmanConf {
	conf := podmanConf{Registries: []podmanRegistry{{Location: p.registry.host, Insecure: p.registry.plain}}}
	for _, m := range p.mirrors {
		at := podmanMirror{Location: m.at.host, Insecure: m.at.plain}
		if m.prefix == "" || m.of == dockerHub {
			conf.Registries = append(conf.Registries, podmanRegistry{Prefix: m.of, Location: m.of, Mirrors: []podmanMirror{at}})
		}
		if m.prefix == "" {
			continue
		}
		of := m.of
		if of == dockerHub {
			of += "/library" // where the images without a directory are
		}
		at.Location += "/" + m.prefix
		conf.Registries = append(conf.Registries, podmanRegistry{Prefix: of, Location: of, Mirrors: []podmanMirror{at}})
	}
	return conf
}

// podmanConflicts reports other files with settings for the same names: of two
// podman takes the later, as a whole.
func (p *planner) podmanConflicts(dir, own string, conf podmanConf) error {
	files := append([]string{path.Join(dir, "registries.conf")}, p.tree.list(path.Join(dir, "registries.conf.d"), "*.conf")...)
	search := false
	for _, name := range files {
		text, err := p.read(name)
		if err != nil {
			return err
		}
		f, err := openTOML(name, text)
		if err != nil {
			return err
		}
		search = search || len(f.strings("unqualified-search-registries")) > 0
		if f.get("registries") != nil {
			p.notef("%q is in the old form (version 1), which podman refuses beside other files: write it as containers-registries.conf(5) says", name)
		}
		var other podmanConf
		if err := toml.Unmarshal(text, &other); err != nil {
			return &FileError{Path: name, Err: err, Advice: "correct the file and run this again"}
		}
		if name != own {
			p.podmanConflict(own, conf, name, other)
		}
	}
	if len(p.mirrors) > 0 && !search {
		p.notef("podman completes names such as \"nginx\" only with unqualified-search-registries = [\"docker.io\"] in %q; docker.io/library/nginx always works", path.Join(dir, "registries.conf"))
	}
	return nil
}

func (p *planner) podmanConflict(own string, conf podmanConf, name string, other podmanConf) {
	for _, theirs := range other.Registries {
		for _, ours := range conf.Registries {
			if theirs.matches() != ours.matches() {
				continue
			}
			winner := own
			if path.Base(path.Dir(name)) == "registries.conf.d" && path.Base(name) > path.Base(own) {
				winner = name
			}
			p.notef("%q has a [[registry]] for %q too: podman takes the one of %q only; join them", name, ours.matches(), winner)
		}
	}
}
