package clients

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// PasswordVariable is the environment variable that the advice names for the
// password of --user; reading it is the caller's business.
const PasswordVariable = "RISCV_BUILD_REGISTRY_PASSWORD"

// Options say which registry is configured, and where.
type Options struct {
	Registry string   // [http://|https://]HOST[:PORT]
	CAFile   string   // PEM certificates that HTTPS is verified with; "" for the system's
	User     string   // "" for none
	Password string   // "" for none
	Mirrors  []string // NAME=[http://|https://]HOST[:PORT][/PREFIX]
	Root     string   // directory that is / of the configured machine
	OS       string   // of the configured machine: linux, darwin
	Home     string   // home directory there
	Rootless bool     // configure the user's own daemons instead of the system's
}

// File is one file of a plan.
type File struct {
	Path    string      // as the configured machine has it
	Old     []byte      // nil if there is none
	New     []byte      // what it must be
	Mode    fs.FileMode // permission bits it must have
	oldMode fs.FileMode
}

// Exists says whether the file is there already.
func (f *File) Exists() bool { return f.Old != nil }

// Changed says whether the file must be written.
func (f *File) Changed() bool {
	return !f.Exists() || string(f.Old) != string(f.New) || f.Mode != f.oldMode
}

// Plan is what clients need.
type Plan struct {
	Files   []*File  // certificates before what refers to them
	Notes   []string // what was assumed, and what the files alone do not do
	Restart []string // what must be done for the changed files to be read, in words or commands
	Foreign []string // clients that do not run on the configured machine's system
	tree    tree
}

// client plans the files of one client.
type client struct {
	plan func(*planner) error
	mac  bool // it reads its configuration on a Mac itself, not in a virtual machine
}

var known = map[string]client{
	"docker":     {plan: (*planner).docker, mac: true},
	"containerd": {plan: (*planner).containerd},
	"k3s":        {plan: (*planner).k3s},
	"podman":     {plan: (*planner).podman},
	"buildkit":   {plan: (*planner).buildkit},
	"nerdctl":    {plan: (*planner).nerdctl},
}

// Names are the clients that are known, sorted.
func Names() []string { return slices.Sorted(maps.Keys(known)) }

// planner collects the files of a plan. A file that one client has planned is
// what the next one finds.
type planner struct {
	names    []string // of the clients
	opt      Options
	tree     tree
	registry endpoint
	mirrors  []mirror
	ca       []byte // nil for none
	files    []*File
	notes    []string
	restart  []string
}

// New works out what the clients need to use a registry. Errors are of type
// *RequestError, *FileError or *AccessError.
func New(names []string, opt Options) (*Plan, error) {
	p := &planner{names: names, opt: opt}
	if err := p.prepare(); err != nil {
		return nil, err
	}
	plan := &Plan{tree: p.tree}
	for _, name := range names {
		if err := known[name].plan(p); err != nil {
			return nil, err
		}
		if opt.OS == "darwin" && !known[name].mac {
			plan.Foreign = append(plan.Foreign, name)
			p.notef("%s does not run on macOS itself: its files belong into the Linux machine that it runs in, or with --root DIR into a mounted tree", name)
		}
	}
	plan.Files, plan.Notes, plan.Restart = p.files, p.notes, p.restart
	return plan, nil
}

func (p *planner) prepare() error {
	names := p.names
	if len(names) == 0 {
		return requestf("configuring no client: name one or more of %s", strings.Join(Names(), ", "))
	}
	for i, name := range names {
		if _, ok := known[name]; !ok {
			return requestf("configuring %q: there is no such client: use one of %s", name, strings.Join(Names(), ", "))
		}
		if slices.Contains(names[:i], name) {
			return requestf("configuring %q twice: name each client once", name)
		}
	}
	root, err := filepath.Abs(p.opt.Root)
	if err != nil {
		return requestf("finding root %q: %v: give a directory", p.opt.Root, err)
	}
	if root, err = filepath.EvalSymlinks(root); err != nil {
		return requestf("finding root %q: %v: give a directory that exists", p.opt.Root, err)
	}
	p.tree = tree{root}
	if err := p.readCA(); err != nil {
		return err
	}
	if p.registry, err = parseRegistry(p.opt.Registry, p.ca != nil); err != nil {
		return err
	}
	for _, text := range p.opt.Mirrors {
		m, err := parseMirror(text, p.registry)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(p.mirrors, func(o mirror) bool { return o.of == m.of }) {
			return requestf("reading mirror %q: %q has one already: give one mirror of each registry", text, m.of)
		}
		p.mirrors = append(p.mirrors, m)
	}
	if p.opt.Password != "" && p.opt.User == "" {
		return requestf("reading a password without an account: give --user too")
	}
	p.assumptions()
	if p.opt.User != "" && p.registry.plain {
		p.notef("%s speaks plain HTTP: clients send the password over the network unencrypted", p.registry.host)
	}
	return nil
}

// readCA reads the certificates, and refuses what must not be copied about.
func (p *planner) readCA() error {
	if p.opt.CAFile == "" {
		return nil
	}
	text, err := os.ReadFile(p.opt.CAFile)
	if err != nil {
		return requestf("reading CA file %q: %v: give a PEM file", p.opt.CAFile, err)
	}
	found := 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if strings.Contains(block.Type, "PRIVATE KEY") {
			return requestf("reading CA file %q: it holds a private key, which clients must not have: give a file with the certificate only", p.opt.CAFile)
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return requestf("reading CA file %q: certificate %d: %v: give a PEM file with certificates", p.opt.CAFile, found+1, err)
		}
		found++
	}
	if found == 0 {
		return requestf("reading CA file %q: no PEM certificate in it: give the certificate that signed the registry's", p.opt.CAFile)
	}
	p.ca = text
	return nil
}

// assumptions says what was decided without being asked for, and what in the
// address leads into traps.
func (p *planner) assumptions() {
	for i, at := range append([]endpoint{p.registry}, p.mirrorEndpoints()...) {
		if at.assumed && (i == 0 || at.host != p.registry.host) {
			why, other := "its name is not local", "http"
			if at.plain {
				why, other = "its name is local", "https"
			}
			p.notef("%s is taken to speak %s, for %s: write %s://%s if not", at.host, strings.ToUpper(strings.TrimSuffix(at.url(), "://"+at.host)), why, other, at.host)
		}
		if i > 0 && at.host != p.registry.host && p.ca != nil && !at.plain {
			p.notef("the CA is for %s only: the certificate of %s is verified with the system's", p.registry.host, at.host)
		}
	}
	if at := p.registry; at.plain && (at.port() == 0 || at.port() == 80) {
		p.notef("%s is on port 80: to clients HOST and HOST:80 are two registries, so image names must begin with exactly %q; where they find no setting they try HTTPS on port 443; a port of its own, such as 6000, avoids this", at.host, at.host)
	}
	if p.registry.loopback() {
		p.notef("%s means another machine on each machine: use the registry's address in the network if others are to pull, and use it in image names too", p.registry.host)
	}
}

func (p *planner) mirrorEndpoints() []endpoint {
	var all []endpoint
	for _, m := range p.mirrors {
		all = append(all, m.at)
	}
	return all
}

func (p *planner) notef(format string, args ...any) {
	if note := fmt.Sprintf(format, args...); !slices.Contains(p.notes, note) {
		p.notes = append(p.notes, note)
	}
}

// restarts says what to do if one of the files is changed.
func (p *planner) restarts(what string, files ...string) {
	changed := slices.ContainsFunc(p.files, func(f *File) bool { return f.Changed() && slices.Contains(files, f.Path) })
	if changed && !slices.Contains(p.restart, what) {
		p.restart = append(p.restart, what)
	}
}

// read gives a file's content as it will be; nil if there is none.
func (p *planner) read(name string) ([]byte, error) {
	if f := p.planned(name); f != nil {
		return f.New, nil
	}
	text, _, err := p.tree.read(name)
	return text, err
}

func (p *planner) planned(name string) *File {
	if i := slices.IndexFunc(p.files, func(f *File) bool { return f.Path == name }); i >= 0 {
		return p.files[i]
	}
	return nil
}

// put plans a file's content. A secret one is for its owner only.
func (p *planner) put(name string, text []byte, secret bool) error {
	f := p.planned(name)
	if f == nil {
		old, info, err := p.tree.read(name)
		if err != nil {
			return err
		}
		f = &File{Path: name, Old: old, Mode: 0o644}
		if info != nil {
			if f.Old == nil {
				f.Old = []byte{}
			}
			f.oldMode = info.Mode().Perm()
			f.Mode = f.oldMode
		}
		p.files = append(p.files, f)
	}
	f.New = text
	if secret {
		f.Mode &= 0o600
	}
	return nil
}

// certificate plans the CA file at a place of the client's choice.
func (p *planner) certificate(name string) error {
	if p.ca == nil {
		return nil
	}
	return p.put(name, p.ca, false)
}

// caPath gives the path by which a client that takes any path names the CA: the
// file itself if it is in the machine's /etc, where files stay, or a copy.
func (p *planner) caPath(dir string) (string, error) {
	if at := p.tree.inside(p.opt.CAFile); strings.HasPrefix(at, "/etc/") {
		return at, nil
	}
	name := path.Join(dir, p.registry.fileName()+"-ca.crt")
	return name, p.certificate(name)
}
