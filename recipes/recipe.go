// Package recipes holds the recipe: its types, its decoding from TOML with
// file and line for every problem, its defaults and its validation, and the
// catalogue of recipes that is built into the program.
//
// It reads what stands beside a recipe and nothing else: no network, no other
// package of this module.
package recipes

import (
	"io/fs"
	"time"
)

// Recipe describes one image: where its source comes from, how it is built,
// what the image holds, how it is tested and where it is pushed.
type Recipe struct {
	Schema  int    `toml:"schema"`
	Name    string `toml:"name"`
	Version string `toml:"version"`
	Summary string `toml:"summary"`
	License string `toml:"license"`
	Home    string `toml:"home"`

	Debian Debian            `toml:"debian"`
	Source map[string]Source `toml:"source"`
	Build  Build             `toml:"build"`
	Image  Image             `toml:"image"`
	Check  Check             `toml:"check"`
	Tests  []Test            `toml:"test"`
	Push   Push              `toml:"push"`

	// File is the path the recipe was read from, as the user gave it; for a
	// catalogue recipe "catalog:NAME.toml".
	File string `toml:"-"`
	// Dir holds the files beside the recipe (Patches, File.From, Source.Dir).
	Dir fs.FS `toml:"-"`
	// Root is the path of Dir on disk; empty for a catalogue recipe.
	Root string `toml:"-"`
	// Lines maps a key path ("image.file[1].mode") to its line in File.
	Lines map[string]int `toml:"-"`

	base *Recipe // of image.base = "recipe:NAME"
}

// Debian says which archive the packages come from.
type Debian struct {
	Suites       []string `toml:"suites"`     // default trixie, trixie-updates, trixie-security
	Components   []string `toml:"components"` // default main
	Mirrors      []string `toml:"mirrors"`    // tried before the discovered ones
	AllowExpired bool     `toml:"allow_expired"`
}

// Source is one source tree: exactly one of DSC, URL, Git, Go and Dir is set.
// Fields that were added later are left out of the JSON where they are empty:
// digests of recipes without them stay as they were.
type Source struct {
	DSC        string   `toml:"dsc"` // debian:pool/... of a source package's .dsc
	URL        string   `toml:"url"` // a tarball
	Mirrors    []string `toml:"mirrors"`
	SHA256     string   `toml:"sha256"`                       // of the .dsc or the tarball, hex
	Go         string   `toml:"go" json:",omitempty"`         // MODULE@VERSION, from a module proxy
	Sum        string   `toml:"sum" json:",omitempty"`        // checksum of the module as in go.sum; without it the checksum database vouches
	Git        string   `toml:"git" json:",omitempty"`        // address of a repository
	Commit     string   `toml:"commit" json:",omitempty"`     // of the repository, 40 hex digits
	Submodules bool     `toml:"submodules" json:",omitempty"` // with the repositories it names
	Dir        string   `toml:"dir"`                          // a directory beside the recipe
	Into       string   `toml:"into"`                         // where it is unpacked below the source directory; default "."
	Latest     *Latest  `toml:"latest" json:"-"`              // enters no digest: nothing is built from it
}

// Latest says how newer releases of a source are found out.
type Latest struct {
	URL     string `toml:"url"`     // a page, a listing or a JSON document
	Matches string `toml:"matches"` // RE2 with one group, which is a version
}

// Build says how the source is compiled.
type Build struct {
	Template  string            `toml:"template"` // one of Templates
	Mode      string            `toml:"mode"`     // auto | cross | native | emulate; default auto
	Packages  []string          `toml:"packages"` // riscv64 development packages of the sysroot
	Tools     []string          `toml:"tools"`    // packages of the build host
	Dir       string            `toml:"dir"`      // directory of the source tree to build in; default "."
	Go        string            `toml:"go"`       // version of the Go tool chain; template go only
	Configure []string          `toml:"configure"`
	Make      []string          `toml:"make"`    // arguments of every make call
	Targets   []string          `toml:"targets"` // make targets of the compile step
	Install   []string          `toml:"install"` // arguments of the install call; default DESTDIR=$DESTDIR install
	Env       map[string]string `toml:"env"`
	Patches   []string          `toml:"patches"`
	Steps     Steps             `toml:"steps"`
	Artifacts []string          `toml:"artifacts"` // absolute paths below DESTDIR; default everything
	Strip     *bool             `toml:"strip"`     // strip ELF files; default true
}

// Steps replaces steps of the template by shell script text (/bin/sh -e).
type Steps struct {
	Prepare   string `toml:"prepare"`
	Configure string `toml:"configure"`
	Compile   string `toml:"compile"`
	Install   string `toml:"install"`
}

// Image says what the image holds and how it is run.
type Image struct {
	Base              string            `toml:"base"` // debian:minimal | scratch | recipe:NAME
	Packages          []string          `toml:"packages"`
	Entrypoint        []string          `toml:"entrypoint"`
	Cmd               []string          `toml:"cmd"`
	Env               map[string]string `toml:"env"`
	Expose            []string          `toml:"expose"`
	StopSignal        string            `toml:"stop_signal"`
	User              string            `toml:"user"`
	Workdir           string            `toml:"workdir"`
	Volumes           []string          `toml:"volumes"`
	Labels            map[string]string `toml:"labels"`
	Annotations       map[string]string `toml:"annotations"`
	MaintainerScripts bool              `toml:"maintainer_scripts"`
	Squash            bool              `toml:"squash"`  // one layer instead of base, packages, artifacts, files
	Setuid            []string          `toml:"setuid"`  // paths that keep their setuid or setgid bit
	Exclude           []string          `toml:"exclude"` // path patterns left out of the image's packages
	Accounts          []Account         `toml:"account"`
	Dirs              []Dir             `toml:"dir"`
	Files             []File            `toml:"file"`
	Links             []Link            `toml:"link"`
}

// Account is a user with a group of the same name.
type Account struct {
	Name    string `toml:"name"`
	UID     int    `toml:"uid"`
	GID     int    `toml:"gid"`
	Home    string `toml:"home"`    // default /nonexistent
	Shell   string `toml:"shell"`   // default /usr/sbin/nologin
	Comment string `toml:"comment"` // GECOS
}

// Dir is a directory of the image.
type Dir struct {
	Path string `toml:"path"`
	Mode int64  `toml:"mode"` // default 0o755
	UID  int    `toml:"uid"`
	GID  int    `toml:"gid"`
}

// File is a regular file of the image; exactly one of From and Content is set.
type File struct {
	Path    string  `toml:"path"`
	From    string  `toml:"from"`
	Content *string `toml:"content"`
	Mode    int64   `toml:"mode"` // default 0o644
	UID     int     `toml:"uid"`
	GID     int     `toml:"gid"`
}

// Link is a symbolic link, or a hard link to a path of the image.
type Link struct {
	Path   string `toml:"path"`
	Target string `toml:"target"`
	Hard   bool   `toml:"hard"`
}

// Check adjusts the checks made before a push.
type Check struct {
	Profile string  `toml:"profile"` // ISA every ELF file must run on; default rv64gc
	Allow   []Allow `toml:"allow"`
}

// Allow lets one file (or all that match the pattern Path) want more than the profile, or than the image has.
type Allow struct {
	Path string `toml:"path"`
	ISA  string `toml:"isa"` // extensions ("v zba"), an ISA string, a profile, or a machine ("arm64") for firmware
	Why  string `toml:"why"`

	Missing []string `toml:"missing"` // libraries the file may want though the image lacks them; patterns of path.Match
}

// Test is run on the built image before anything is pushed. With HTTP or TCP
// the image is started (with Run as its command if given) and probed;
// with File alone nothing is run; else Run is run as the command of the image
// (through its entrypoint, as `docker run IMAGE RUN...` does).
type Test struct {
	Name       string            `toml:"name"`
	Run        []string          `toml:"run"`
	Entrypoint *[]string         `toml:"entrypoint"` // replaces the image's
	Env        map[string]string `toml:"env"`
	Stdin      string            `toml:"stdin"`
	Exit       int               `toml:"exit"`
	Stdout     *Match            `toml:"stdout"`
	Stderr     *Match            `toml:"stderr"`
	HTTP       *HTTPProbe        `toml:"http"`
	TCP        *TCPProbe         `toml:"tcp"`
	File       *FileProbe        `toml:"file"`
	Timeout    Duration          `toml:"timeout"` // default 60s
}

// Match compares text: every field that is set must hold.
type Match struct {
	Contains *string `toml:"contains"`
	Equals   *string `toml:"equals"`
	Matches  *string `toml:"matches"` // RE2
}

// HTTPProbe asks the started image for a page over its own loopback.
type HTTPProbe struct {
	Port    int               `toml:"port"`
	Path    string            `toml:"path"`   // default /
	Method  string            `toml:"method"` // default GET
	Headers map[string]string `toml:"headers"`
	Status  int               `toml:"status"` // default 200
	Body    *Match            `toml:"body"`
}

// TCPProbe sends bytes to the started image and reads until Expect holds.
type TCPProbe struct {
	Port   int    `toml:"port"`
	Send   string `toml:"send"`
	Expect *Match `toml:"expect"`
}

// FileProbe looks at a file of the image without running it.
type FileProbe struct {
	Path     string  `toml:"path"`
	Absent   bool    `toml:"absent"`
	Mode     *int64  `toml:"mode"`
	Link     *string `toml:"link"` // target of a symbolic link
	Contains *string `toml:"contains"`
	Equals   *string `toml:"equals"`
	Matches  *string `toml:"matches"`
}

// Push says under which names the image is pushed.
type Push struct {
	Repository string   `toml:"repository"` // default riscv64/NAME
	Tags       []string `toml:"tags"`       // default {version}
}

// Duration is a TOML string such as "90s" (time.ParseDuration).
type Duration struct{ time.Duration }

// UnmarshalText reads a Go duration.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	d.Duration = v
	return err
}
