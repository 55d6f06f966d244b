package recipes

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Bases are the values of image.base, beside "recipe:NAME".
var Bases = []string{"debian:minimal", "scratch"}

// signals are the names of Linux signals (signal(7)); real-time signals are
// matched by realTimeSignal.
var signals = []string{
	"SIGABRT", "SIGALRM", "SIGBUS", "SIGCHLD", "SIGCONT", "SIGFPE", "SIGHUP", "SIGILL", "SIGINT", "SIGIO", "SIGKILL",
	"SIGPIPE", "SIGPROF", "SIGPWR", "SIGQUIT", "SIGSEGV", "SIGSTKFLT", "SIGSTOP", "SIGSYS", "SIGTERM", "SIGTRAP",
	"SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGUSR1", "SIGUSR2", "SIGVTALRM", "SIGWINCH", "SIGXCPU", "SIGXFSZ",
}

var realTimeSignal = regexp.MustCompile(`^SIGRT(MIN|MAX)([+-][0-9]{1,2})?$`)

// decimalModes are modes as they look when the 0o was forgotten.
var decimalModes = []int64{440, 444, 600, 640, 644, 660, 664, 700, 711, 750, 755, 770, 775, 777, 1755, 1777, 2755, 4755, 6755}

func (c *checker) checkImage() {
	img := c.r.Image
	c.checkBase()
	c.packages("image.packages", img.Packages)
	c.env("image.env", img.Env)
	if len(img.Entrypoint) > 0 && img.Entrypoint[0] == "" {
		c.bad("image.entrypoint[0]", "the entrypoint's program is empty", "name a program, or leave image.entrypoint out")
	}
	for i, port := range img.Expose {
		c.checkExpose(IndexPath("image.expose", i), port)
	}
	c.unique("image.expose", "port", img.Expose)
	if s := img.StopSignal; s != "" && !realTimeSignal.MatchString(s) {
		c.checkSignal(s)
	}
	if img.User != "" && !userGrammar.MatchString(img.User) {
		c.bad("image.user", fmt.Sprintf("user %q is no user", img.User), `write "name", "uid", "name:group" or "uid:gid"`)
	}
	if img.Workdir != "" {
		c.absolute("image.workdir", img.Workdir)
	}
	for i, volume := range img.Volumes {
		c.absolute(IndexPath("image.volumes", i), volume)
	}
	c.unique("image.volumes", "volume", img.Volumes)
	for i, p := range img.Setuid {
		c.absolute(IndexPath("image.setuid", i), p)
	}
	for i, pattern := range img.Exclude {
		plain := strings.TrimPrefix(pattern, "!")
		if _, err := path.Match(plain, ""); err != nil || !strings.HasPrefix(plain, "/") {
			c.bad(IndexPath("image.exclude", i), fmt.Sprintf("%q is no pattern of absolute paths", pattern), `write a path such as "/usr/share/doc/*"`)
		}
	}
	c.metadata("image.labels", img.Labels)
	c.metadata("image.annotations", img.Annotations)
	c.checkAccounts()
}

func (c *checker) checkBase() {
	img := c.r.Image
	if name, ok := c.r.BaseRecipe(); ok {
		c.checkBaseRecipe(name)
	} else if kind, _, _ := strings.Cut(img.Base, ":"); kind == "oci" {
		c.bad("image.base", fmt.Sprintf("base %q is an image, which this version cannot start from", img.Base), `use "debian:minimal", "scratch" or "recipe:NAME"`)
		return
	} else {
		c.oneOf("image.base", img.Base, append(slices.Clone(Bases), recipeBase+"NAME"))
	}
	if !c.r.OnScratch() {
		return
	}
	if img.MaintainerScripts {
		c.bad("image.maintainer_scripts", `base "scratch" has no dpkg that could run maintainer scripts`, `use base = "debian:minimal", or remove maintainer_scripts`)
	}
	if img.Base == "scratch" && c.r.Build.Template == "" && len(img.Packages)+len(img.Files)+len(img.Dirs)+len(img.Links) == 0 {
		c.bad("image", "the image is empty", "add a [build], image.packages or [[image.file]]")
	}
}

func (c *checker) checkExpose(key, port string) {
	number, proto, _ := strings.Cut(port, "/")
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != number || proto != "tcp" && proto != "udp" {
		c.bad(key, fmt.Sprintf("%q is no port", port), `write "80/tcp" or "53/udp", with a number from 1 to 65535`)
	}
}

func (c *checker) checkSignal(name string) {
	if slices.Contains(signals, name) {
		return
	}
	do := `write its name, such as "SIGTERM" or "SIGQUIT"`
	if near := nearest("SIG"+strings.TrimPrefix(strings.ToUpper(name), "SIG"), lower(signals)); near != "" {
		do = fmt.Sprintf("did you mean %q?", strings.ToUpper(near))
	}
	c.bad("image.stop_signal", fmt.Sprintf("stop_signal %q is no signal", name), do)
}

// lower returns the words in small letters, as nearest compares them.
func lower(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = strings.ToLower(w)
	}
	return out
}

func (c *checker) metadata(key string, pairs map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(pairs)) {
		if strings.TrimSpace(name) == "" {
			c.bad(JoinPath(key, name), key+" has an empty name", "give it a name such as \"org.opencontainers.image.source\"")
		}
	}
}

func (c *checker) checkAccounts() {
	names, uids := map[string]bool{}, map[int]string{}
	for i, a := range c.r.Image.Accounts {
		key := IndexPath("image.account", i)
		if !accountGrammar.MatchString(a.Name) {
			c.bad(key+".name", fmt.Sprintf("account name %q is no user name", a.Name), `use at most 32 small letters, digits, "_" and "-", and start with a letter`)
		}
		if names[a.Name] {
			c.bad(key+".name", fmt.Sprintf("account %q is defined twice", a.Name), "remove one of them")
		}
		if other, ok := uids[a.UID]; ok && !names[a.Name] {
			c.bad(key+".uid", fmt.Sprintf("accounts %q and %q have the same uid %d", other, a.Name, a.UID), "give each its own")
		}
		names[a.Name], uids[a.UID] = true, a.Name
		if a.UID == 0 && a.Name != "root" {
			c.bad(key+".uid", fmt.Sprintf("account %q has uid 0, which is root's", a.Name), "give it a uid of its own, such as 999")
		}
		c.owner(key, a.UID, a.GID)
		c.absolute(key+".home", a.Home)
		c.absolute(key+".shell", a.Shell)
		for field, text := range map[string]string{"home": a.Home, "shell": a.Shell, "comment": a.Comment} {
			if strings.ContainsAny(text, ":\n") {
				c.bad(key+"."+field, fmt.Sprintf("the %s of account %q holds a colon or line end", field, a.Name), "remove it: /etc/passwd cannot hold it")
			}
		}
	}
}

// owner reports ids that no file or process can have: 65535 stands for "none"
// in 16-bit interfaces.
func (c *checker) owner(key string, uid, gid int) {
	for _, id := range []struct {
		name  string
		value int
	}{{"uid", uid}, {"gid", gid}} {
		if id.value < 0 || id.value == 65535 {
			c.bad(key+"."+id.name, fmt.Sprintf("%s %d is out of range", id.name, id.value), "use 0 to 65534")
		}
	}
}

func (c *checker) mode(key string, mode int64) {
	switch {
	case slices.Contains(decimalModes, mode):
		c.bad(key, fmt.Sprintf("mode %d is decimal", mode), fmt.Sprintf("write it in octal: 0o%d", mode))
	case mode < 0 || mode > 0o7777:
		c.bad(key, fmt.Sprintf("mode %d is out of range", mode), "write it in octal, from 0o000 to 0o7777")
	}
}

// placed is an entry of the image's tree that the recipe names.
type placed struct {
	key  string
	leaf bool // a file or link: nothing can lie below it
}

// checkTree checks image.dir, image.file and image.link, together: each path
// is named once, and nothing lies below a file.
func (c *checker) checkTree() {
	tree := map[string]placed{}
	for i, d := range c.r.Image.Dirs {
		key := IndexPath("image.dir", i)
		c.place(tree, d.Path, placed{key: key})
		c.mode(key+".mode", d.Mode)
		c.owner(key, d.UID, d.GID)
	}
	for i, f := range c.r.Image.Files {
		key := IndexPath("image.file", i)
		c.place(tree, f.Path, placed{key, true})
		c.checkFile(key, f)
	}
	for i, l := range c.r.Image.Links {
		key := IndexPath("image.link", i)
		c.place(tree, l.Path, placed{key, true})
		switch {
		case l.Target == "":
			c.bad(key+".target", fmt.Sprintf("link %q has no target", l.Path), `add target = "..."`)
		case l.Hard:
			c.absolute(key+".target", l.Target)
		}
		if l.Path != "" && l.Path == l.Target {
			c.bad(key+".target", fmt.Sprintf("link %q points at itself", l.Path), "name another target")
		}
	}
	for _, p := range slices.Sorted(maps.Keys(tree)) {
		for above := path.Dir(p); above != "/"; above = path.Dir(above) {
			if parent, ok := tree[above]; ok && parent.leaf {
				c.bad(tree[p].key+".path", fmt.Sprintf("path %q lies below %q, which is no directory", p, above),
					fmt.Sprintf("move it, or remove line %d", c.r.Line(parent.key+".path")))
			}
		}
	}
}

// place notes a path of the tree and reports one that is there already.
func (c *checker) place(tree map[string]placed, p string, entry placed) {
	key := entry.key + ".path"
	if !c.absolute(key, p) {
		return
	}
	if p == "/" {
		c.bad(key, `path "/" is the image itself`, "name a path below it")
		return
	}
	if first, ok := tree[p]; ok {
		c.bad(key, fmt.Sprintf("path %q is defined twice", p), fmt.Sprintf("remove it here or in line %d", c.r.Line(first.key+".path")))
		return
	}
	tree[p] = entry
}

func (c *checker) checkFile(key string, f File) {
	c.mode(key+".mode", f.Mode)
	c.owner(key, f.UID, f.GID)
	switch {
	case f.From == "" && f.Content == nil:
		c.bad(key, fmt.Sprintf("file %q has neither from nor content", f.Path), `add from = "files/..." (beside the recipe) or content = "..."`)
	case f.From != "" && f.Content != nil:
		c.bad(key+".content", fmt.Sprintf("file %q has both from and content", f.Path), "keep one of the two")
	case f.From != "":
		c.beside(key+".from", f.From, "file")
	}
	if f.Mode&0o6000 != 0 && f.Mode <= 0o7777 && !slices.Contains(decimalModes, f.Mode) && !slices.Contains(c.r.Image.Setuid, f.Path) {
		c.bad(key+".mode", fmt.Sprintf("file %q is setuid or setgid", f.Path), fmt.Sprintf("add %q to image.setuid, or use another mode", f.Path))
	}
}
