package rootfs

import (
	"archive/tar"
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// Groups of base-passwd, numbers that Debian fixes.
const (
	gidMail   = 8
	gidShadow = 42
	gidUtmp   = 43
)

// links makes the links that paths were led through and no package brought:
// those of the merged /usr that lead to something, /var/run and /var/lock. A
// tool chain without base-files gets the directories that programs take for
// granted.
func (b *build) links() error {
	for _, d := range merged {
		if n := b.layer.nodes["usr/"+d]; n == nil || n.kind != tar.TypeDir {
			continue
		}
		if err := b.layer.add(generated{path: "/" + d, link: "usr/" + d}); err != nil {
			return err
		}
	}
	for _, name := range []string{"var/run", "var/lock"} {
		if n := b.layer.nodes[name]; n != nil && n.assumed && b.ships("base-files") {
			if err := b.layer.add(generated{path: "/" + name, link: n.link}); err != nil {
				return err
			}
		}
	}
	if b.spec.Purpose != Toolchain || b.find("base-files") != nil {
		return nil
	}
	for _, d := range []string{"/dev", "/etc", "/proc", "/run", "/sys", "/var"} {
		if err := b.layer.add(generated{path: d, dir: true}); err != nil {
			return err
		}
	}
	return b.layer.addAll(
		generated{path: "/root", dir: true, mode: 0o700},
		generated{path: "/tmp", dir: true, mode: 0o1777},
		generated{path: "/var/tmp", dir: true, mode: 0o1777},
	)
}

// baseFiles does what the script of base-files does on a first installation.
func (b *build) baseFiles() error {
	for _, c := range [][2]string{
		{"dot.profile", "/root/.profile"}, {"dot.bashrc", "/root/.bashrc"}, {"profile", "/etc/profile"}, {"motd", "/etc/motd"},
	} {
		if err := b.copyKept("/usr/share/base-files/"+c[0], c[1]); err != nil {
			return err
		}
	}
	if b.layer.exists("/etc/dpkg/origins/debian") != nil {
		if err := b.layer.add(generated{path: "/etc/dpkg/origins/default", link: "debian"}); err != nil {
			return err
		}
	}
	for _, d := range []string{"/mnt", "/srv", "/opt", "/etc/opt", "/var/opt", "/media", "/usr/local", "/usr/local/share",
		"/usr/local/share/man", "/usr/local/bin", "/usr/local/games", "/usr/local/lib", "/usr/local/libexec",
		"/usr/local/include", "/usr/local/sbin", "/usr/local/src", "/usr/local/etc"} {
		if err := b.layer.add(generated{path: d, dir: true}); err != nil {
			return err
		}
	}
	return b.layer.addAll(
		generated{path: "/usr/local/man", link: "share/man"},
		generated{path: "/var/mail", dir: true, mode: 0o2775, gid: gidMail},
		generated{path: "/var/spool/mail", link: "../mail"},
		generated{path: "/run/lock", dir: true, mode: 0o1777},
		generated{path: "/var/log/wtmp", mode: 0o664, gid: gidUtmp},
		generated{path: "/var/log/btmp", mode: 0o660, gid: gidUtmp},
		generated{path: "/var/log/lastlog", mode: 0o664, gid: gidUtmp},
	)
}

// accounts writes the account files from base-passwd's masters, with shadow
// passwords as passwd's script would switch them on: every account is locked.
// Before maintainer scripts run, only what they need is written, unshadowed.
func (b *build) accounts() error {
	passwd, group := b.kept["/usr/share/base-passwd/passwd.master"], b.kept["/usr/share/base-passwd/group.master"]
	if passwd == nil || group == nil {
		return nil
	}
	if b.spec.Unpacked {
		return b.layer.addAll(generated{path: "/etc/passwd", body: passwd}, generated{path: "/etc/group", body: group})
	}
	day := int64(b.layer.newest.Sub(time.Unix(0, 0)).Hours() / 24)
	users, shadow, err := shadowed(passwd, func(name string) string { return fmt.Sprintf("%s:*:%d:0:99999:7:::\n", name, day) })
	if err != nil {
		return err
	}
	groups, gshadow, err := shadowed(group, func(name string) string { return name + ":*::\n" })
	if err != nil {
		return err
	}
	return b.layer.addAll(
		generated{path: "/etc/passwd", body: users},
		generated{path: "/etc/group", body: groups},
		generated{path: "/etc/shadow", body: shadow, mode: 0o640, gid: gidShadow},
		generated{path: "/etc/gshadow", body: gshadow, mode: 0o640, gid: gidShadow},
		generated{path: "/etc/subuid"}, generated{path: "/etc/subgid"},
	)
}

// shadowed splits a master file into the readable one, whose second field is
// x, and its shadow.
func shadowed(master []byte, entry func(name string) string) (open, shadow []byte, err error) {
	for _, l := range strings.Split(strings.TrimSpace(string(master)), "\n") {
		name, rest, ok := strings.Cut(l, ":")
		_, rest, more := strings.Cut(rest, ":")
		if !ok || !more || name == "" {
			return nil, nil, fmt.Errorf("reading base-passwd's master files: line %q is no account", l)
		}
		open = append(open, name+":x:"+rest+"\n"...)
		shadow = append(shadow, entry(name)...)
	}
	return open, shadow, nil
}

// shells lists the login shells that packages declare, each also by its path
// without links.
func (b *build) shells() error {
	out := bytes.Clone(b.kept["/usr/share/debianutils/shells"])
	if len(out) == 0 {
		return nil
	}
	seen := map[string]bool{}
	var packaged []string
	note := func(p string) {
		if !slices.Contains(packaged, p) {
			packaged = append(packaged, p)
		}
		if !seen[p] {
			seen[p] = true
			out = append(out, p+"\n"...)
		}
	}
	for _, l := range strings.Split(string(out), "\n") {
		seen[l] = true
	}
	for _, f := range append([]string{"/usr/share/debianutils/shells"}, b.keptIn("/usr/share/debianutils/shells.d")...) {
		for _, l := range strings.Split(string(b.kept[f]), "\n") {
			l, _, _ = strings.Cut(l, "#")
			if l = strings.TrimSpace(l); l == "" {
				continue
			}
			note(l)
			dir, err := b.layer.resolve(strings.TrimPrefix(path.Dir(l), "/"), true)
			if err != nil {
				return err
			}
			note("/" + path.Join(dir, path.Base(l)))
		}
	}
	return b.layer.addAll(
		generated{path: "/etc/shells", body: out},
		generated{path: "/var/lib/shells.state", body: []byte(strings.Join(packaged, "\n") + "\n")},
	)
}

// ships tells whether a package of this name is unpacked into the layer.
func (b *build) ships(name string) bool {
	for _, i := range b.pkgs {
		if i.pkg.Name == name {
			return true
		}
	}
	return false
}

// networks is what netbase writes: the names of the local host and networks.
func (b *build) networks() error {
	if !b.ships("netbase") {
		return nil
	}
	return b.layer.addAll(
		generated{path: "/etc/hosts", body: []byte("127.0.0.1\tlocalhost\n::1\t\tlocalhost ip6-localhost ip6-loopback\nff02::1\t\tip6-allnodes\nff02::2\t\tip6-allrouters\n")},
		generated{path: "/etc/networks", body: []byte("default\t\t0.0.0.0\nloopback\t127.0.0.0\nlink-local\t169.254.0.0\n")},
	)
}

// timeZone sets UTC, which is what tzdata does unasked.
func (b *build) timeZone() error {
	const zone = "Etc/UTC"
	if !b.ships("tzdata") {
		return nil
	}
	return b.layer.addAll(
		generated{path: "/etc/localtime", link: "/usr/share/zoneinfo/" + zone},
		generated{path: "/etc/timezone", body: []byte(zone + "\n")},
	)
}
