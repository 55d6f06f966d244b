package recipes

// Key documents one key of a recipe. The table of keys is what the JSON Schema
// and REFERENCE.md are generated from; types come from the Go types.
type Key struct {
	Path    string   // "image.file.mode"; NAME stands for a key of the user's
	Text    string   // what it means, one or more sentences
	Default string   // as it would be written in TOML; empty: none
	Example string   // as it would be written in TOML
	Enum    []string // the values it may have; nil: not limited
	Pattern string   // a regular expression of its values; empty: not limited
	Needed  bool     // the table it stands in is not complete without it
}

// Keys returns the documentation of every key, in the order of the reference.
func Keys() []Key {
	var all []Key
	for _, part := range [][]Key{headKeys, sourceKeys, buildKeys, imageKeys, treeKeys, checkKeys, testKeys, pushKeys} {
		all = append(all, part...)
	}
	return all
}

var headKeys = []Key{
	{Path: "schema", Text: "Version of the recipe format.", Example: `1`, Enum: []string{"1"}, Needed: true},
	{Path: "name", Text: "Name of the image: small letters and digits, with `.`, `_` or `-` between them.", Example: `"nginx"`, Needed: true},
	{Path: "version", Text: "Version of the software. `{version}`, `{major}`, `{minor}` and `{patch}` stand for it and its numbers in url, mirrors, dsc, go, configure, env and tags.", Example: `"1.26.3"`, Needed: true},
	{Path: "summary", Text: "What the software is, in one line. Becomes the image's description.", Example: `"HTTP server and reverse proxy"`},
	{Path: "license", Text: "SPDX expression of the software's licence.", Example: `"BSD-2-Clause"`},
	{Path: "home", Text: "Web address of the software.", Example: `"https://nginx.org"`},
	{Path: "debian", Text: "The archive that packages come from."},
	{Path: "debian.suites", Text: "Suites that packages are chosen from; of two versions the newer one wins.", Default: `["trixie", "trixie-updates", "trixie-security"]`},
	{Path: "debian.components", Text: "Components of the suites.", Default: `["main"]`, Example: `["main", "contrib"]`},
	{Path: "debian.mirrors", Text: "Mirrors that are tried before those that riscv-build finds by itself: the address that `dists/` and `pool/` lie below.", Example: `["https://mirror.example/debian"]`},
	{Path: "debian.allow_expired", Text: "Accept an archive state whose validity has ended. The report says so.", Default: `false`},
}

var sourceKeys = []Key{
	{Path: "source", Text: "Source trees, by name. Each has exactly one of `dsc`, `url`, `git`, `go` and `dir`."},
	{Path: "source.NAME.dsc", Text: "A Debian source package with its patch series: the address of its `.dsc` in the archive.", Example: `"debian:pool/main/n/nginx/nginx_1.26.3-3.dsc"`},
	{Path: "source.NAME.url", Text: "A tarball: `https://`, `http://` or `debian:pool/...`.", Example: `"https://nginx.org/download/nginx-{version}.tar.gz"`},
	{Path: "source.NAME.git", Text: "A git repository: `https://`, `http://`, `ssh://`, `git://`, or `file://` with a path of this machine. Needs `commit`. Accounts for `https://` are those of `~/.netrc`, keys for `ssh://` those of the ssh agent. Files are as they lie in the repository: `export-ignore`, `export-subst` and line ends of `.gitattributes` are not applied, nor are Git LFS and other filters.", Example: `"https://git.example/nginx.git"`},
	{Path: "source.NAME.commit", Text: "The commit of `git`, 40 hexadecimal digits; its date is the source's. Branches and tags can move and are no commits: `git ls-remote URL NAME`, or `'NAME^{}'` for a tag, says what one stands for.", Example: `"6ed4ea5a7c5c1cbd5a1a2b5e0f4d4a3d8f2f0c11"`},
	{Path: "source.NAME.submodules", Text: "Take the repositories along that the commit names in `.gitmodules`, and theirs. Otherwise their directories are empty.", Default: `false`},
	{Path: "source.NAME.mirrors", Text: "Other places of the same bytes as `url`, or of the same commit as `git`, tried in this order.", Example: `["debian:pool/main/n/nginx/nginx_{version}.orig.tar.gz"]`},
	{Path: "source.NAME.sha256", Text: "SHA-256 of the `.dsc` or the tarball, 64 hexadecimal digits. Needed with `dsc` and `url`."},
	{Path: "source.NAME.go", Text: "A Go module and its version, from a module proxy. Its go.sum and the checksum database vouch for it and all that it needs.", Example: `"github.com/coredns/coredns@v{version}"`},
	{Path: "source.NAME.sum", Text: "Checksum of the module, as a line of go.sum would have it. The checksum database is not asked then.", Example: `"h1:/Bv2YIqqSR00HiO49FT93hovy6r9IlrzwUDsJjCN5qg="`},
	{Path: "source.NAME.dir", Text: "A directory beside the recipe.", Example: `"src"`},
	{Path: "source.NAME.into", Text: "Where the tree is put, below the source directory. The top directory of an archive is left out.", Default: `"."`},
	{Path: "source.NAME.latest", Text: "How `riscv-build outdated` finds out whether there is a newer release than `url` or `git`. Source packages of the archive and Go modules need none."},
	{Path: "source.NAME.latest.url", Text: "A page, a listing of files or a JSON document that names the releases: `https://` or `http://`, at most 8 MB.", Example: `"https://nginx.org/download/"`, Needed: true},
	{Path: "source.NAME.latest.matches", Text: "RE2 expression with one group, which is a version. The highest version on the page counts, by the rules of dpkg; alpha, beta, dev, pre and rc are passed over unless such a version is in use. The same expression reads the version in use out of the source's own `url`; where it does not match there, that is the recipe's.", Example: `'nginx-([0-9.]+)\.tar\.gz'`, Needed: true},
}

var buildKeys = []Key{
	{Path: "build", Text: "How the sources are compiled. Without a `template` nothing is, and the image is made of packages and files."},
	{Path: "build.template", Text: "What supplies the steps prepare, configure, compile and install. `cmake` and `meson` build with ninja, for the prefix `/usr` with libraries in `/usr/lib/riscv64-linux-gnu`, without debugging information; optimization is that of `CFLAGS` and `CXXFLAGS` in `build.env`, `-O2` without.", Example: `"autotools"`, Enum: Templates},
	{Path: "build.mode", Text: "Where the compiler runs: `cross` on the build host's own architecture, `native` on riscv64, `emulate` as riscv64 code under QEMU. `auto` is native on riscv64 and cross elsewhere.", Default: `"auto"`, Enum: Modes},
	{Path: "build.packages", Text: "riscv64 development packages that the source is compiled against.", Example: `["libssl-dev", "zlib1g-dev"]`},
	{Path: "build.tools", Text: "Packages of the build host that steps call. Compiler and template bring theirs.", Example: `["perl"]`},
	{Path: "build.dir", Text: "Directory of the source tree that the steps run in.", Default: `"."`},
	{Path: "build.go", Text: "Version of the Go tool chain, for template `go`. Without the key the lock has the newest that riscv-build knows.", Example: `"1.26.8"`},
	{Path: "build.configure", Text: "Arguments of the configure step: of `configure`, `cmake` or `meson setup`. `$NAME` stands for a variable of the build, `$$` for a dollar sign. A step of your own finds them in `\"$@\"`.", Example: `["--with-http_ssl_module"]`},
	{Path: "build.make", Text: "Arguments of every call of make, of ninja with `cmake` and `meson`, or of go build, with variables as in `configure`.", Example: `["CC=$CC", "V=1"]`},
	{Path: "build.targets", Text: "Targets of the compile step. For template `go`: the packages to build, by default `.`; each becomes a program named after the last element of its path.", Example: `["all"]`},
	{Path: "build.install", Text: "Arguments of the call that installs. With `cmake` and `meson` the default is `[\"install\"]`. For template `go`: the directory of the image that programs are put in, by default `/usr/bin`.", Default: `["DESTDIR=$DESTDIR", "install"]`},
	{Path: "build.env", Text: "Environment variables of all steps.", Example: `{ CFLAGS = "-O2 -g" }`},
	{Path: "build.patches", Text: "Patches beside the recipe, applied in this order with one leading path component removed.", Example: `["no-foo.patch"]`},
	{Path: "build.steps", Text: "Replaces steps of the template by shell text, run by `/bin/sh -e` in `build.dir`."},
	{Path: "build.steps.prepare", Text: "Replaces what the template does before configuring."},
	{Path: "build.steps.configure", Text: "Replaces configuring. `\"$@\"` holds `build.configure`.", Example: `'./configure --prefix=/usr "$@"'`},
	{Path: "build.steps.compile", Text: "Replaces compiling. `\"$@\"` holds `build.make` and `build.targets`."},
	{Path: "build.steps.install", Text: "Replaces installing, which must write below `$DESTDIR`. `\"$@\"` holds `build.make` and `build.install`."},
	{Path: "build.artifacts", Text: "Absolute paths, taken below `$DESTDIR`, that go into the image; a directory goes with everything in it. Without the key everything below `$DESTDIR` does.", Example: `["/usr/sbin/nginx", "/etc/nginx"]`},
	{Path: "build.strip", Text: "Remove debugging symbols from ELF files. For template `go`: link without them.", Default: `true`},
}

var imageKeys = []Key{
	{Path: "image", Text: "What the image holds and how it is run."},
	{Path: "image.base", Text: "What the image starts from: `debian:minimal` is the essential set of the archive, `scratch` is nothing, `recipe:NAME` is the image of another recipe: of `NAME.toml` beside this one or, without that file, of the catalogue. Its layers come first; environment, labels, ports and volumes are added to its own, and what else is set replaces what it sets, as after `FROM` in a Dockerfile.", Default: `"debian:minimal"`, Example: `"recipe:static"`, Pattern: "^(debian:minimal|scratch|recipe:[a-z0-9][a-z0-9._-]*)$"},
	{Path: "image.packages", Text: "Packages of the image. Libraries that the artifacts need are found and added without being named.", Example: `["tzdata"]`},
	{Path: "image.entrypoint", Text: "Program and first arguments that are always run.", Example: `["/docker-entrypoint.sh"]`},
	{Path: "image.cmd", Text: "Arguments after the entrypoint, or the program, unless the user of the image gives others.", Example: `["nginx", "-g", "daemon off;"]`},
	{Path: "image.env", Text: "Environment variables.", Example: `{ NGINX_VERSION = "{version}" }`},
	{Path: "image.expose", Text: "Ports the program listens on.", Example: `["80/tcp"]`},
	{Path: "image.stop_signal", Text: "Signal that asks the program to end.", Example: `"SIGQUIT"`},
	{Path: "image.user", Text: "User, and group after a colon, the program runs as.", Example: `"redis"`},
	{Path: "image.workdir", Text: "Working directory of the program.", Example: `"/data"`},
	{Path: "image.volumes", Text: "Directories that hold data beyond a container's life.", Example: `["/data"]`},
	{Path: "image.labels", Text: "Labels of the image's configuration."},
	{Path: "image.annotations", Text: "Annotations of the image's manifest."},
	{Path: "image.maintainer_scripts", Text: "Run the packages' own configuration scripts, under QEMU where the build host is not riscv64.", Default: `false`},
	{Path: "image.squash", Text: "Make one layer instead of base, packages, artifacts and files.", Default: `false`},
	{Path: "image.setuid", Text: "Files that keep their setuid or setgid bit.", Example: `["/usr/bin/su"]`},
	{Path: "image.exclude", Text: "Patterns of paths that are left out of the packages: `*` stands for a part of a name, `**` for any number of names; `!` before a pattern keeps what it matches. The last one that matches counts.",
		Example: `["/usr/share/**", "!/usr/share/zoneinfo"]`},
}

var treeKeys = []Key{
	{Path: "image.account", Text: "Users, each with a group of the same name."},
	{Path: "image.account.name", Text: "Name of user and group.", Example: `"nginx"`, Needed: true},
	{Path: "image.account.uid", Text: "User id.", Example: `101`},
	{Path: "image.account.gid", Text: "Group id.", Example: `101`},
	{Path: "image.account.home", Text: "Home directory.", Default: `"/nonexistent"`},
	{Path: "image.account.shell", Text: "Login shell.", Default: `"/usr/sbin/nologin"`},
	{Path: "image.account.comment", Text: "Comment (GECOS).", Example: `"nginx user"`},
	{Path: "image.dir", Text: "Directories."},
	{Path: "image.dir.path", Text: "Absolute path.", Example: `"/data"`, Needed: true},
	{Path: "image.dir.mode", Text: "Permission bits, in octal.", Default: `0o755`},
	{Path: "image.dir.uid", Text: "Owner.", Default: `0`},
	{Path: "image.dir.gid", Text: "Group.", Default: `0`},
	{Path: "image.file", Text: "Files. Each has exactly one of `from` and `content`."},
	{Path: "image.file.path", Text: "Absolute path.", Example: `"/docker-entrypoint.sh"`, Needed: true},
	{Path: "image.file.from", Text: "A file beside the recipe.", Example: `"files/docker-entrypoint.sh"`},
	{Path: "image.file.content", Text: "The content itself."},
	{Path: "image.file.mode", Text: "Permission bits, in octal.", Default: `0o644`},
	{Path: "image.file.uid", Text: "Owner.", Default: `0`},
	{Path: "image.file.gid", Text: "Group.", Default: `0`},
	{Path: "image.link", Text: "Links."},
	{Path: "image.link.path", Text: "Absolute path of the link.", Example: `"/var/log/nginx/access.log"`, Needed: true},
	{Path: "image.link.target", Text: "What it points at; for a hard link an absolute path of the image.", Example: `"/dev/stdout"`, Needed: true},
	{Path: "image.link.hard", Text: "Make a hard link.", Default: `false`},
}
