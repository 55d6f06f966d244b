package clients

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// criNames are the names of the plugin that pulls images for Kubernetes, by
// the version of config.toml. A version that is newer keeps the last.
var criNames = map[int64]string{
	0: "cri", 1: "cri", // no version means 1
	2: "io.containerd.grpc.v1.cri",
	3: "io.containerd.cri.v1.images",
}

// criFile is a part of containerd's configuration.
type criFile struct {
	*tomlFile
	plugin   []string // key of the plugin's settings
	registry []string // key of its registry settings
}

// containerd plans config_path of config.toml, and the directories it names.
func (p *planner) containerd() error {
	dir := "/etc/containerd"
	if p.opt.Rootless {
		dir = path.Join(p.opt.Home, ".config/containerd")
	}
	files, err := p.containerdFiles(path.Join(dir, "config.toml"))
	if err != nil {
		return err
	}
	dirs, changed, err := p.configPath(files, path.Join(dir, "certs.d"))
	if err != nil {
		return err
	}
	if _, err := p.hosts(dirs, true); err != nil {
		return err
	}
	p.containerdNotes(files, dirs)
	if changed != "" {
		restart := "systemctl restart containerd"
		if p.opt.Rootless {
			restart = "systemctl --user restart containerd"
		}
		p.restarts(restart, changed)
	}
	return nil
}

// containerdFiles reads config.toml and what it imports, in containerd's order:
// what is later counts.
func (p *planner) containerdFiles(main string) ([]criFile, error) {
	var files []criFile
	pending := []string{main}
	for seen := map[string]bool{}; len(pending) > 0; pending = pending[1:] {
		name := pending[0]
		if seen[name] {
			continue
		}
		seen[name] = true
		text, err := p.read(name)
		if err != nil {
			return nil, err
		}
		if text == nil && name != main {
			return nil, &FileError{Path: main, Err: fmt.Errorf("it imports %q, which does not exist", name), Advice: "correct \"imports\": containerd does not start"}
		}
		if len(text) == 0 {
			text = []byte("version = 2\n") // the oldest that all containerd since 1.3 read
		}
		f, err := openCRI(name, text)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
		pending = append(pending, p.imports(f)...)
	}
	return files, nil
}

func openCRI(name string, text []byte) (criFile, error) {
	f, err := openTOML(name, text)
	if err != nil {
		return criFile{}, err
	}
	version, _ := f.get("version").(int64)
	plugin := criNames[min(max(version, 0), 3)]
	if long := criNames[2]; version < 2 && f.get("plugins", long) != nil {
		plugin = long // containerd 2 takes it
	}
	key := []string{"plugins", plugin}
	return criFile{tomlFile: f, plugin: key, registry: append(slices.Clip(key), "registry")}, nil
}

// imports are the files that a file imports, below the root directory.
func (p *planner) imports(f criFile) []string {
	var names []string
	for _, name := range f.strings("imports") {
		if !path.IsAbs(name) {
			name = path.Join(path.Dir(f.path), name)
		}
		dir, base := path.Split(path.Clean(name))
		switch {
		case !strings.ContainsAny(name, "*?["):
			names = append(names, path.Clean(name))
		case strings.ContainsAny(dir, "*?["):
			p.notef("%q imports %q, which is not looked into: see that nothing there sets registries", f.path, name)
		default:
			names = append(names, p.tree.list(path.Clean(dir), base)...)
		}
	}
	return names
}

// configPath gives the directories that containerd looks into for registries,
// and sets them where none are set: in the last file that has settings of the
// plugin, because containerd 1 takes those as a whole. changed is that file.
func (p *planner) configPath(files []criFile, standard string) (dirs []string, changed string, err error) {
	target, set := files[0], ""
	for _, f := range files {
		if err := f.refuseOldKeys(); err != nil {
			return nil, "", err
		}
		if f.get(f.plugin...) != nil {
			target = f
		}
		if s, _ := f.get(append(slices.Clip(f.registry), "config_path")...).(string); s != "" {
			set = s
		}
	}
	if set != "" {
		return splitList(set), "", nil
	}
	if err := target.set(standard, append(slices.Clip(target.registry), "config_path")...); err != nil {
		return nil, "", err
	}
	return []string{standard}, target.path, p.put(target.path, target.text, false)
}

// splitList takes a list of directories apart, as path/filepath.SplitList does.
func splitList(list string) []string {
	return slices.DeleteFunc(strings.Split(list, ":"), func(s string) bool { return s == "" })
}

// refuseOldKeys: beside config_path containerd does not start with mirrors,
// containerd 1 not with configs.*.tls either, and no version reads what they say.
func (f criFile) refuseOldKeys() error {
	old := func(key ...string) error {
		full := append(slices.Clip(f.registry), key...)
		return &FileError{
			Path: f.path, Err: fmt.Errorf("%s is set, and containerd refuses that beside config_path", toml.Key(full)),
			Advice: "move what it says into hosts.toml files (containerd docs/hosts.md), take it out, and run this again",
		}
	}
	if m, _ := f.get(append(slices.Clip(f.registry), "mirrors")...).(map[string]any); len(m) > 0 {
		return old("mirrors")
	}
	configs, _ := f.get(append(slices.Clip(f.registry), "configs")...).(map[string]any)
	for host, c := range configs {
		if settings, _ := c.(map[string]any); settings["tls"] != nil {
			return old("configs", host, "tls")
		}
	}
	return nil
}

func (p *planner) containerdNotes(files []criFile, dirs []string) {
	for _, f := range files {
		for _, name := range f.strings("disabled_plugins") {
			if name == "cri" || name == criNames[2] || name == criNames[3] {
				p.notef("%q disables the plugin %q: Kubernetes cannot use this containerd; take it out of disabled_plugins if it should", f.path, name)
			}
		}
	}
	if p.tree.exists(k3sDir) && !p.opt.Rootless && !slices.Contains(p.names, "k3s") {
		p.notef("K3s runs a containerd of its own, which does not read these files: `configure k3s` is for it")
	}
	p.notef("ctr reads these directories only if told: `ctr images pull --hosts-dir %s`", dirs[0])
	switch {
	case p.opt.User == "":
	case p.opt.Password == "":
		p.notef("containerd keeps no accounts: give the password too, to have it in hosts.toml, or use imagePullSecrets in Kubernetes and `ctr images pull --user %s`", p.opt.User)
	default:
		p.notef("the account is in hosts.toml as a header: it works where the registry takes basic authentication; for others use imagePullSecrets")
	}
}
