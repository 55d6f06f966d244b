package recipes

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Modes are the values of build.mode.
var Modes = []string{"auto", "cross", "native", "emulate"}

// ReservedEnv are the variables that the build itself sets for steps and that
// build.env must not change.
var ReservedEnv = []string{"BUILD_TRIPLET", "DESTDIR", "JOBS", "SOURCE_DATE_EPOCH", "SYSROOT", "TRIPLET"}

func isWebURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil
}

// poolPath returns the path below the archive of a "debian:pool/..." address.
func poolPath(address string) (string, bool) {
	p, ok := strings.CutPrefix(address, "debian:")
	if !ok || !strings.HasPrefix(p, "pool/") || slices.Contains(strings.Split(p, "/"), "..") || strings.Contains(p, "//") {
		return "", false
	}
	return p, true
}

func (c *checker) checkSources() {
	into := map[string]string{}
	for _, name := range c.r.sourceNames() {
		key, src := JoinPath("source", name), c.r.Source[name]
		if !sourceGrammar.MatchString(name) {
			c.bad(key, fmt.Sprintf("%q is no source name", name), `use small letters, digits and ".", "_", "+", "-"`)
		}
		c.checkSource(key, name, src)
		if !c.relative(key+".into", src.Into) {
			continue
		}
		if other, ok := into[src.Into]; ok {
			c.bad(key, fmt.Sprintf("sources %q and %q are both unpacked into %q", other, name, src.Into),
				fmt.Sprintf(`give one of them into = "%s"`, name))
		}
		into[src.Into] = name
	}
}

// checkSource applies the rules of one source kind: exactly one of dsc, url and dir.
func (c *checker) checkSource(key, name string, src Source) {
	kinds := 0
	for _, value := range []string{src.DSC, src.URL, src.Go, src.Dir} {
		if value != "" {
			kinds++
		}
	}
	if kinds != 1 {
		c.bad(key, fmt.Sprintf("source %q names %s of dsc, url, go and dir", name, []string{"none", "", "two", "three", "all"}[kinds]),
			"give exactly one: dsc for a Debian source package, url for a tarball, go for a Go module, dir for a directory beside the recipe")
		return
	}
	switch {
	case src.Dir != "":
		c.beside(key+".dir", src.Dir, "directory")
		if src.SHA256 != "" {
			c.bad(key+".sha256", fmt.Sprintf("source %q is a directory and has a sha256", name), "remove sha256: what lies in the directory is built as it is")
		}
	case src.Go != "":
		c.checkModule(key, name, src)
	case src.DSC != "":
		if p, ok := poolPath(src.DSC); !ok || !strings.HasSuffix(p, ".dsc") {
			c.bad(key+".dsc", fmt.Sprintf("dsc %q names no source package of the archive", src.DSC),
				`write "debian:pool/main/n/name/name_version.dsc"`)
		}
	default:
		c.checkURL(key+".url", src.URL)
	}
	if src.URL == "" && len(src.Mirrors) > 0 {
		c.bad(key+".mirrors", fmt.Sprintf("source %q has mirrors but no url", name), "remove mirrors: Debian mirrors are those of [debian]")
	}
	for i, mirror := range src.Mirrors {
		c.checkURL(IndexPath(key+".mirrors", i), mirror)
	}
	if src.Sum != "" && src.Go == "" {
		c.bad(key+".sum", fmt.Sprintf("source %q has a sum but is no Go module", name), "remove sum; sha256 is for the bytes of a dsc or url")
	}
	if src.Dir == "" && src.Go == "" {
		c.checkSHA256(key+".sha256", name, src.SHA256)
	}
	if src.Latest != nil {
		c.checkLatest(key+".latest", name, src)
	}
}

func (c *checker) checkURL(key, address string) {
	if _, pool := poolPath(address); !pool && !isWebURL(address) {
		c.bad(key, fmt.Sprintf("address %q cannot be fetched", address), "use https://, http:// or debian:pool/...")
	}
}

func (c *checker) checkSHA256(key, name, sum string) {
	switch {
	case sum == "":
		c.bad(key, fmt.Sprintf("source %q has no sha256", name), `add sha256 = "...": the output of sha256sum for the file`)
	case sha256Grammar.MatchString(strings.ToLower(sum)) && !sha256Grammar.MatchString(sum):
		c.bad(key, fmt.Sprintf("the sha256 of source %q has capital letters", name), fmt.Sprintf("write %q", strings.ToLower(sum)))
	case !sha256Grammar.MatchString(sum):
		c.bad(key, fmt.Sprintf("%q is no sha256", sum), "give the 64 hexadecimal digits that sha256sum prints")
	}
}

func (c *checker) checkBuild() {
	b := c.r.Build
	c.oneOf("build.mode", b.Mode, Modes)
	if b.Template == "" {
		c.checkNoBuild()
	} else {
		c.oneOf("build.template", b.Template, Templates)
		c.checkSteps()
	}
	c.checkGo()
	c.relative("build.dir", b.Dir)
	c.packages("build.packages", b.Packages)
	c.packages("build.tools", b.Tools)
	c.env("build.env", b.Env)
	for name := range b.Env {
		if slices.Contains(ReservedEnv, name) {
			c.bad(JoinPath("build.env", name), fmt.Sprintf("build.env sets %q, which the build sets itself", name), "remove it, or set a variable of another name")
		}
	}
	for i, patch := range b.Patches {
		c.beside(IndexPath("build.patches", i), patch, "file")
	}
	c.unique("build.patches", "patch", b.Patches)
	for i, artifact := range b.Artifacts {
		c.absolute(IndexPath("build.artifacts", i), artifact)
	}
	c.unique("build.artifacts", "artifact", b.Artifacts)
}

// checkNoBuild reports what only a build could use.
func (c *checker) checkNoBuild() {
	const do = `add template = "..." to [build]: one of `
	for _, name := range c.r.sourceNames() {
		c.bad(JoinPath("source", name), fmt.Sprintf("source %q is not built", name), do+strings.Join(Templates, ", "))
	}
	for _, key := range []string{"artifacts", "configure", "make", "targets", "install", "patches", "steps", "packages", "tools", "go"} {
		if key = "build." + key; c.r.given(key) {
			c.bad(key, key+" is given, but nothing is built", do+strings.Join(Templates, ", "))
		}
	}
}

// checkSteps reports keys that no step of the template would read.
func (c *checker) checkSteps() {
	b := c.r.Build
	script := b.Template == "script"
	if script && b.Steps == (Steps{}) {
		c.bad("build.template", `template "script" has no step`, `add build.steps.compile or build.steps.install with shell commands`)
	}
	if len(c.r.Source) == 0 && !script && slices.Contains(Templates, b.Template) {
		c.bad("build.template", fmt.Sprintf("template %q has no source to build", b.Template), `add a [source.NAME] table, or use template = "script"`)
	}
	if len(b.Patches) > 0 && len(c.r.Source) == 0 {
		c.bad("build.patches", "build.patches is given, but there is no source to patch", "add a [source.NAME] table")
	}
	if b.Template != "autotools" && len(b.Configure) > 0 && b.Steps.Configure == "" {
		c.bad("build.configure", fmt.Sprintf("template %q has no configure step that build.configure could go to", b.Template),
			`use template = "autotools", or add build.steps.configure, which finds the arguments in "$@"`)
	}
	if script && b.Steps.Compile == "" && b.Steps.Install == "" && len(b.Make) > 0 {
		c.unusedList("build.make")
	}
	if script && b.Steps.Compile == "" && len(b.Targets) > 0 {
		c.unusedList("build.targets")
	}
	if script && b.Steps.Install == "" && len(b.Install) > 0 {
		c.unusedList("build.install")
	}
}

func (c *checker) unusedList(key string) {
	c.bad(key, fmt.Sprintf("template %q has no step that %s could go to", "script", key),
		`add build.steps.compile or build.steps.install, which find the arguments in "$@"`)
}
