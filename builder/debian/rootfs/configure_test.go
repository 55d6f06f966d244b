package rootfs

import (
	"archive/tar"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/riscv-build/riscv-build/recipes/lock"
)

var errNoSpace = errors.New("no space left on device")

func TestStatusAndInfo(t *testing.T) {
	p := pool{}
	below := p.add(t, deb{name: "base", version: "1:2", arch: "riscv64", fields: "Essential: yes\nDepends: libc6\n", control: map[string]string{"conffiles": "/etc/base.conf\nremove-on-upgrade /etc/gone\n"},
		data: []tar.Header{dir("etc", 0o755), file("etc/base.conf", 0o644)}, bodies: map[string]string{"etc/base.conf": "hello\n"}})
	app := p.add(t, deb{name: "app", arch: "riscv64", fields: "Installed-Size: 3\n", control: map[string]string{
		"conffiles": "/etc/app.conf\n", "postinst": "#!/bin/sh\n", "md5sums": "00000000000000000000000000000000  usr/bin/app\n11111111111111111111111111111111  usr/share/man/app.1\n"},
		data:   []tar.Header{dir("etc", 0o755), file("etc/app.conf", 0o644), file("usr/bin/app", 0o755), file("usr/share/man/app.1", 0o644)},
		bodies: map[string]string{"etc/app.conf": "hello\n"}})
	const sum = "b1946ac92492d2347c6235b4d2611184" // of "hello\n"
	want := "Package: app\nStatus: install ok STATE\nVersion: 1\nArchitecture: riscv64\nInstalled-Size: 3\nConffiles:\n /etc/app.conf " + sum + "\nDescription: test\n\n" +
		"Package: base\nStatus: install ok installed\nVersion: 1:2\nArchitecture: riscv64\nEssential: yes\nDepends: libc6\nConffiles:\n /etc/base.conf " + sum + "\nDescription: test\n\n"
	s := Spec{Packages: []lock.Package{app}, Below: []lock.Package{below}}
	g := write(t, p, s)
	g.body(t, "var/lib/dpkg/status", strings.Replace(want, "STATE", "installed", 1))
	g.body(t, "var/lib/dpkg/info/app.list", "/.\n/etc\n/etc/app.conf\n/usr/bin/app\n")
	g.body(t, "var/lib/dpkg/info/app.md5sums", "00000000000000000000000000000000  usr/bin/app\n")
	g.body(t, "var/lib/dpkg/info/app.conffiles", "/etc/app.conf\n")
	g.absent(t, "var/lib/dpkg/info/app.postinst", "var/lib/dpkg/info/format", "var/lib/dpkg/info/base.list")
	s.Unpacked = true
	g = write(t, p, s)
	g.body(t, "var/lib/dpkg/status", strings.Replace(want, "STATE", "unpacked", 1))
	g.body(t, "var/lib/dpkg/info/app.postinst", "#!/bin/sh\n")
	if h := g.headers["var/lib/dpkg/info/app.postinst"]; h.Mode != 0o755 {
		t.Errorf("a script has the mode %o", h.Mode)
	}
}

func TestTriggersOfUnpackedPackages(t *testing.T) {
	p := pool{}
	pkgs := []lock.Package{
		p.add(t, deb{name: "a", control: map[string]string{"triggers": "# comment\ninterest-await ldconfig\ninterest-noawait /usr/share/fonts\nactivate x\n"}}),
		p.add(t, deb{name: "b", control: map[string]string{"triggers": "interest-noawait ldconfig\n"}}),
	}
	g := write(t, p, Spec{Packages: pkgs, Unpacked: true})
	g.body(t, "var/lib/dpkg/triggers/File", "/usr/share/fonts a/noawait\n")
	g.body(t, "var/lib/dpkg/triggers/ldconfig", "a\nb/noawait\n")
	g.absent(t, "var/lib/dpkg/triggers/x")
}

func TestAccounts(t *testing.T) {
	p := pool{}
	bodies := map[string]string{
		"usr/share/base-passwd/passwd.master": "root:*:0:0:root:/root:/bin/bash\nnobody:*:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
		"usr/share/base-passwd/group.master":  "root:*:0:\nshadow:*:42:\n",
	}
	pkg := p.add(t, deb{name: "base-passwd", data: files(bodies), bodies: bodies})
	g := write(t, p, Spec{Packages: []lock.Package{pkg}})
	g.body(t, "etc/passwd", "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n")
	g.body(t, "etc/group", "root:x:0:\nshadow:x:42:\n")
	g.body(t, "etc/shadow", "root:*:19675:0:99999:7:::\nnobody:*:19675:0:99999:7:::\n")
	g.body(t, "etc/gshadow", "root:*::\nshadow:*::\n")
	if h := g.headers["etc/shadow"]; h.Mode != 0o640 || h.Gid != 42 || h.Uid != 0 {
		t.Errorf("/etc/shadow: %+v", h)
	}
	g = write(t, p, Spec{Packages: []lock.Package{pkg}, Unpacked: true})
	g.body(t, "etc/passwd", bodies["usr/share/base-passwd/passwd.master"])
	g.absent(t, "etc/shadow")
}

func TestBaseFiles(t *testing.T) {
	p := pool{}
	bodies := map[string]string{"usr/share/base-files/profile": "PROFILE\n", "usr/share/base-files/dot.bashrc": "RC\n", "etc/dpkg/origins/debian": "x"}
	pkg := p.add(t, deb{name: "base-files", data: append([]tar.Header{dir("root", 0o700), dir("var/lock", 0o1777)}, files(bodies)...), bodies: bodies})
	g := write(t, p, Spec{Packages: []lock.Package{pkg}, Purpose: Toolchain})
	g.body(t, "etc/profile", "PROFILE\n")
	g.body(t, "root/.bashrc", "RC\n")
	g.link(t, "var/lock", "/run/lock")
	g.link(t, "var/spool/mail", "../mail")
	g.link(t, "etc/dpkg/origins/default", "debian")
	if h := g.headers["var/mail"]; h.Mode != 0o2775 || h.Gid != 8 {
		t.Errorf("/var/mail: %+v", h)
	}
	if h := g.headers["root"]; h.Mode != 0o700 {
		t.Errorf("/root: %o", h.Mode)
	}
	g.absent(t, "var/lib/dpkg/status")
	write(t, p, Spec{Packages: []lock.Package{pkg}, Purpose: Sysroot}).absent(t, "etc/profile", "var/mail", "etc/passwd")
}

func TestListsOfLayersBelowAreJoined(t *testing.T) {
	p := pool{}
	base := map[string]string{"usr/share/debianutils/shells": "# shells\n/bin/sh\n", "usr/share/debianutils/shells.d/bash": "/bin/bash\n"}
	below := p.add(t, deb{name: "debianutils", data: files(base), bodies: base,
		control: map[string]string{"md5sums": "0  usr/share/debianutils/shells\n0  usr/share/debianutils/shells.d/bash\n"}})
	own := map[string]string{"usr/share/debianutils/shells.d/zsh": "/usr/bin/zsh\n"}
	zsh := p.add(t, deb{name: "zsh", data: files(own), bodies: own})
	g := write(t, p, Spec{Packages: []lock.Package{zsh}, Below: []lock.Package{below}})
	g.body(t, "etc/shells", "# shells\n/bin/sh\n/usr/bin/sh\n/bin/bash\n/usr/bin/bash\n/usr/bin/zsh\n")
	g.absent(t, "usr/share/debianutils/shells")
	other := p.add(t, deb{name: "other"})
	write(t, p, Spec{Packages: []lock.Package{other}, Below: []lock.Package{below}}).absent(t, "etc/shells")
}

func TestPAM(t *testing.T) {
	template := func(kind string) string {
		return "# " + kind + "\n$" + kind + "_primary\n" + kind + "\trequisite\tpam_deny.so\n$" + kind + "_additional\n# end\n"
	}
	bodies := map[string]string{
		"usr/share/pam/common-auth": template("auth"), "usr/share/pam/common-session": template("session"), "usr/share/pam/common-session-noninteractive": template("session"),
		"usr/share/pam-configs/unix":  "Name: Unix\nDefault: yes\nPriority: 256\nAuth-Type: Primary\nAuth:\n\t[success=end default=ignore]\tpam_unix.so try_first_pass\nAuth-Initial:\n\t[success=end default=ignore]\tpam_unix.so\nSession-Type: Additional\nSession:\n\trequired\tpam_unix.so\n",
		"usr/share/pam-configs/other": "Name: Other\nDefault: yes\nPriority: 100\nAuth-Type: Primary\nAuth:\n\t[success=end default=ignore]\tpam_other.so  use_first_pass\nSession-Interactive-Only: yes\nSession-Type: Additional\nSession:\n\toptional\tpam_other.so\n",
		"usr/share/pam-configs/no":    "Name: No\nDefault: no\nPriority: 0\nAuth-Type: Primary\nAuth:\n\trequired\tpam_no.so\n",
		"usr/share/pam-configs/loser": "Name: L\nDefault: yes\nPriority: 1\nConflicts: unix\nAuth-Type: Primary\nAuth:\n\trequired\tpam_loser.so\n",
	}
	p := pool{}
	pkg := p.add(t, deb{name: "libpam-runtime", data: files(bodies), bodies: bodies})
	g := write(t, p, Spec{Packages: []lock.Package{pkg}})
	g.body(t, "etc/pam.d/common-auth", "# auth\nauth\t[success=2 default=ignore]\tpam_unix.so\nauth\t[success=1 default=ignore]\tpam_other.so use_first_pass\nauth\trequisite\tpam_deny.so\n# end\n")
	g.body(t, "etc/pam.d/common-session", "# session\nsession\t[default=1]\t\t\tpam_permit.so\nsession\trequisite\tpam_deny.so\nsession\trequired\tpam_unix.so\nsession\toptional\tpam_other.so\n# end\n")
	g.body(t, "etc/pam.d/common-session-noninteractive", "# session\nsession\t[default=1]\t\t\tpam_permit.so\nsession\trequisite\tpam_deny.so\nsession\trequired\tpam_unix.so\n# end\n")
	g.body(t, "var/lib/pam/seen", "unix\nother\nloser\nno\n")
	g.body(t, "var/lib/pam/session", "Module: null\n[default=1]\t\t\tpam_permit.so\nModule: unix\nrequired\tpam_unix.so\nModule: other\noptional\tpam_other.so\n")
}

func TestParseAlternatives(t *testing.T) {
	script := `#!/bin/sh
# update-alternatives --install /no /no /no 1
if [ "$1" = configure ]; then
  update-alternatives --quiet --install /usr/bin/awk awk /usr/bin/mawk 5 \
    --slave /usr/share/man/man1/awk.1.gz awk.1.gz /usr/share/man/man1/mawk.1.gz \
    --slave "/usr/bin/nawk" nawk '/usr/bin/mawk' || true
fi
for i in a b; do update-alternatives --install /usr/bin/$i $i /usr/bin/x 1; done
update-alternatives --install /usr/bin/lzma lzma /usr/bin/xz 20 $(slave /usr/bin/unlzma)
update-alternatives --remove rename /usr/bin/prename
update-alternatives --install relative r /usr/bin/r 1
update-alternatives --install /usr/bin/n n /usr/bin/n much
`
	want := []alternative{
		{link: "/usr/bin/awk", name: "awk", path: "/usr/bin/mawk", priority: 5, slaves: []slave{
			{"/usr/share/man/man1/awk.1.gz", "awk.1.gz", "/usr/share/man/man1/mawk.1.gz"}, {"/usr/bin/nawk", "nawk", "/usr/bin/mawk"}}},
		{link: "/usr/bin/lzma", name: "lzma", path: "/usr/bin/xz", priority: 20},
	}
	if got := parseAlternatives(script); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestAlternativesOverLayers(t *testing.T) {
	install := func(name, priority string) map[string]string {
		return map[string]string{"postinst": "update-alternatives --install /usr/bin/awk awk /usr/bin/" + name + " " + priority +
			" --slave /usr/bin/nawk nawk /usr/bin/" + name + " --slave /usr/share/man/man1/awk.1.gz awk.1.gz /usr/share/man/man1/" + name + ".1.gz\n"}
	}
	p := pool{}
	mawk := p.add(t, deb{name: "mawk", control: install("mawk", "5"), data: []tar.Header{file("usr/bin/mawk", 0o755), file("usr/share/man/man1/mawk.1.gz", 0o644)}})
	gawk := p.add(t, deb{name: "gawk", control: install("gawk", "10"), data: []tar.Header{file("usr/bin/gawk", 0o755)}})
	g := write(t, p, Spec{Packages: []lock.Package{mawk}})
	g.link(t, "usr/bin/awk", "/etc/alternatives/awk")
	g.link(t, "etc/alternatives/awk", "/usr/bin/mawk")
	g.link(t, "etc/alternatives/nawk", "/usr/bin/mawk")
	g.absent(t, "etc/alternatives/awk.1.gz", "usr/share/man/man1/awk.1.gz")
	g = write(t, p, Spec{Packages: []lock.Package{gawk}, Below: []lock.Package{mawk}})
	g.link(t, "etc/alternatives/awk", "/usr/bin/gawk")
	record := "auto\n/usr/bin/awk\nawk.1.gz\n/usr/share/man/man1/awk.1.gz\nnawk\n/usr/bin/nawk\n\n" +
		"/usr/bin/gawk\n10\n/usr/share/man/man1/gawk.1.gz\n/usr/bin/gawk\n/usr/bin/mawk\n5\n/usr/share/man/man1/mawk.1.gz\n/usr/bin/mawk\n\n"
	g.body(t, "var/lib/dpkg/alternatives/awk", record)
	g = write(t, p, Spec{Packages: []lock.Package{mawk}, Below: []lock.Package{gawk}})
	g.link(t, "etc/alternatives/awk", "/usr/bin/gawk")
	other := p.add(t, deb{name: "other"})
	write(t, p, Spec{Packages: []lock.Package{other}, Below: []lock.Package{gawk}}).absent(t, "etc/alternatives/awk")
}

// The hashes are what `openssl x509 -hash` says about the certificates.
func TestCertificates(t *testing.T) {
	bodies := map[string]string{}
	bundle := ""
	for _, n := range []string{"a", "b", "c", "d"} {
		text, err := os.ReadFile("testdata/" + n + ".crt")
		if err != nil {
			t.Fatal(err)
		}
		bodies["usr/share/ca-certificates/x/"+n+" (root), 1.crt"] = strings.TrimSuffix(string(text), "\n")
		bundle += string(text)
	}
	p := pool{}
	pkg := p.add(t, deb{name: "ca-certificates", data: files(bodies), bodies: bodies})
	g := write(t, p, Spec{Packages: []lock.Package{pkg}})
	g.body(t, "etc/ssl/certs/ca-certificates.crt", bundle)
	g.link(t, "etc/ssl/certs/a_=root=__1.pem", "/usr/share/ca-certificates/x/a (root), 1.crt")
	g.link(t, "etc/ssl/certs/62ac5e3e.0", "a_=root=__1.pem") // spaces and case
	g.link(t, "etc/ssl/certs/62ac5e3e.1", "b_=root=__1.pem") // the same subject, canonically
	g.link(t, "etc/ssl/certs/eae06754.0", "c_=root=__1.pem") // BMPString, mail address
	g.link(t, "etc/ssl/certs/91180306.0", "d_=root=__1.pem") // a name part of two attributes
	if conf := g.bodies["etc/ca-certificates.conf"]; !strings.HasSuffix(conf, "x/c (root), 1.crt\nx/d (root), 1.crt\n") {
		t.Errorf("ca-certificates.conf: %q", conf)
	}
}

func TestTimeZoneAndNetworks(t *testing.T) {
	p := pool{}
	pkgs := []lock.Package{p.add(t, deb{name: "tzdata"}), p.add(t, deb{name: "netbase"})}
	g := write(t, p, Spec{Packages: pkgs})
	g.link(t, "etc/localtime", "/usr/share/zoneinfo/Etc/UTC")
	g.body(t, "etc/timezone", "Etc/UTC\n")
	if !strings.HasPrefix(g.bodies["etc/hosts"], "127.0.0.1\tlocalhost\n") {
		t.Errorf("/etc/hosts: %q", g.bodies["etc/hosts"])
	}
}

func TestFilter(t *testing.T) {
	f, err := newFilter([]string{"/usr/share/doc/**", "!/usr/share/doc/*/copyright", "/opt", "/a/**/b", "/x/*.so", "!/x/keep?.so"})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"usr/share/doc": false, "usr/share/doc/a": true, "usr/share/doc/a/b/c": true, "usr/share/doc/a/copyright": false, "usr/share/doc/a/b/copyright": true,
		"opt": true, "opt/x": true, "optional": false, "a/b": true, "a/1/2/b": true, "a/1/c": false, "x/a.so": true, "x/y/a.so": false, "x/keep1.so": false,
	} {
		if got := f.excludes(name); got != want {
			t.Errorf("%q excluded: %v, want %v", name, got, want)
		}
	}
	for _, bad := range []string{"relative", "/a/[", "!relative"} {
		if _, err := newFilter([]string{bad}); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
