package rootfs

import (
	"archive/tar"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
)

const dpkgDir = "/var/lib/dpkg"

// database writes what dpkg (and every scanner of images) knows packages by:
// the status of all packages down to the lowest layer, and the file lists of
// this layer's.
func (b *build) database() error {
	if len(b.pkgs) == 0 {
		return nil
	}
	status, err := b.status()
	if err != nil {
		return err
	}
	files := []generated{{path: dpkgDir + "/status", body: status}}
	if len(b.below) == 0 {
		files = append(files, generated{path: dpkgDir + "/available"}, generated{path: dpkgDir + "/diversions"},
			generated{path: dpkgDir + "/statoverride"}, generated{path: dpkgDir + "/info/format", body: []byte("1\n")})
	}
	if b.ships("dpkg") && !b.spec.Unpacked {
		for _, i := range b.pkgs {
			if i.pkg.Name == "dpkg" {
				files = append(files, generated{path: dpkgDir + "/arch-native", body: []byte(i.pkg.Arch + "\n")})
			}
		}
	}
	if b.spec.Unpacked {
		files = append(files, b.triggers()...)
	}
	for _, i := range b.pkgs {
		files = append(files, b.infoFiles(i)...)
	}
	return b.layer.addAll(files...)
}

// status is the status file: one paragraph a package, sorted by name.
func (b *build) status() ([]byte, error) {
	type section struct {
		i  *info
		is string
	}
	var all []section
	for _, i := range b.below {
		all = append(all, section{i, "installed"})
	}
	is := "installed"
	if b.spec.Unpacked {
		is = "unpacked"
	}
	for _, i := range b.pkgs {
		all = append(all, section{i, is})
	}
	slices.SortStableFunc(all, func(x, y section) int {
		return strings.Compare(x.i.pkg.Name+" "+x.i.pkg.Arch, y.i.pkg.Name+" "+y.i.pkg.Arch)
	})
	var out strings.Builder
	for _, s := range all {
		conf, err := b.conffileSums(s.i)
		if err != nil {
			return nil, err
		}
		for _, f := range s.i.fields {
			// The description comes last in dpkg's own file.
			if strings.EqualFold(f.name, "Description") && conf != "" {
				fmt.Fprintf(&out, "Conffiles:\n%s", conf)
				conf = ""
			}
			sep := " "
			if f.value == "" || f.value[0] == '\n' {
				sep = ""
			}
			fmt.Fprintf(&out, "%s:%s%s\n", f.name, sep, f.value)
			if strings.EqualFold(f.name, "Package") {
				fmt.Fprintf(&out, "Status: install ok %s\n", s.is)
			}
		}
		if conf != "" {
			fmt.Fprintf(&out, "Conffiles:\n%s", conf)
		}
		out.WriteString("\n")
	}
	return []byte(out.String()), nil
}

// conffileSums are the lines of the field Conffiles. Those of packages below
// are read from the packages: no list in the control archive has their sums.
func (b *build) conffileSums(i *info) (string, error) {
	missing := map[string]bool{}
	for _, c := range i.conffiles() {
		missing[c] = true
	}
	sums := map[string]string{}
	if u, ok := b.state[i]; ok {
		for _, s := range u.shipped {
			if missing["/"+s.name] && b.owns(i, s) {
				sums["/"+s.name] = u.sums["/"+s.name]
			}
		}
	} else if len(missing) > 0 {
		err := b.scan(i, func(name string, h *tar.Header, body io.Reader) (bool, error) {
			if !missing["/"+name] || h.Typeflag != tar.TypeReg {
				return true, nil
			}
			delete(missing, "/"+name)
			if b.layer.filter.excludes(name) {
				return len(missing) > 0, nil
			}
			h5 := md5.New()
			_, err := io.Copy(h5, body)
			sums["/"+name] = hex.EncodeToString(h5.Sum(nil))
			return len(missing) > 0, err
		})
		if err != nil {
			return "", fmt.Errorf("reading package %q of a layer below: %w", i.pkg.ID, err)
		}
	}
	out := ""
	for _, c := range i.conffiles() {
		if sums[c] != "" {
			out += " " + c + " " + sums[c] + "\n"
		}
	}
	return out, nil
}

// owns tells whether an entry of a package is in the layer and not another's.
func (b *build) owns(i *info, s shipped) bool {
	n := b.layer.nodes[s.at]
	return n != nil && (s.dir || n.kind == tar.TypeDir || n.owner == i || n.owner != nil && n.owner.pkg.Name == i.pkg.Name)
}

// infoFiles are a package's files in the info directory. Names carry the
// architecture where several of them can be installed side by side.
func (b *build) infoFiles(i *info) []generated {
	base := dpkgDir + "/info/" + i.pkg.Name
	if i.sameArch() {
		base += ":" + i.pkg.Arch
	}
	u := b.state[i]
	list := "/.\n"
	here := map[string]bool{}
	for _, s := range u.shipped {
		if b.owns(i, s) {
			list += "/" + s.name + "\n"
			here[s.name] = true
		}
	}
	var sums strings.Builder
	if _, ok := i.files["md5sums"]; ok {
		for _, l := range i.lines("md5sums") {
			if _, name, _ := strings.Cut(l, "  "); here[name] {
				sums.WriteString(l + "\n")
			}
		}
	} else {
		conf := i.conffiles()
		for _, s := range u.shipped {
			if sum := u.sums["/"+s.name]; sum != "" && here[s.name] && !slices.Contains(conf, "/"+s.name) {
				sums.WriteString(sum + "  " + s.name + "\n")
			}
		}
	}
	out := []generated{{path: base + ".list", body: []byte(list)}, {path: base + ".md5sums", body: []byte(sums.String())}}
	for _, name := range sortedKeys(i.files) {
		switch {
		case name == "md5sums":
		case name == "conffiles" || b.spec.Unpacked:
			out = append(out, generated{path: base + "." + name, body: i.files[name], mode: i.modes[name]})
		}
	}
	return out
}

func sortedKeys(m map[string][]byte) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// triggers is dpkg's record of which package waits for which trigger: one file
// a named trigger, and one for all that watch paths.
func (b *build) triggers() []generated {
	named := map[string][]byte{}
	var paths strings.Builder
	for _, i := range b.pkgs {
		who := i.pkg.Name
		if i.sameArch() {
			who += ":" + i.pkg.Arch
		}
		for _, l := range i.lines("triggers") {
			words := strings.Fields(l)
			if len(words) != 2 || !strings.HasPrefix(words[0], "interest") {
				continue
			}
			wait := ""
			if words[0] == "interest-noawait" {
				wait = "/noawait"
			}
			if strings.HasPrefix(words[1], "/") {
				fmt.Fprintf(&paths, "%s %s%s\n", words[1], who, wait)
			} else if !strings.Contains(words[1], "/") {
				named[words[1]] = append(named[words[1]], who+wait+"\n"...)
			}
		}
	}
	out := []generated{{path: dpkgDir + "/triggers/File", body: []byte(paths.String())}, {path: dpkgDir + "/triggers/Unincorp"}}
	for _, name := range sortedKeys(named) {
		out = append(out, generated{path: dpkgDir + "/triggers/" + name, body: named[name]})
	}
	return out
}
