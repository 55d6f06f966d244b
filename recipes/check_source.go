package recipes

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// The forms of git's names: a commit, one of the new kind that few servers
// have, and what git takes for the beginning of one.
var (
	commitGrammar    = regexp.MustCompile(`^[0-9a-f]{40}$`)
	sha256Commit     = regexp.MustCompile(`^[0-9a-f]{64}$`)
	shortCommit      = regexp.MustCompile(`^[0-9a-f]{4,39}$`)
	scpLikeGrammar   = regexp.MustCompile(`^([A-Za-z0-9._-]+@)?[A-Za-z0-9.-]+:[^/:]`)
	gitSchemes       = []string{"https", "http", "ssh", "git", "file"}
	gitSchemesAdvice = "use https://, http://, ssh://, git://, or file:// with an absolute path"
)

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

// checkSource applies the rules of one source kind: exactly one of dsc, url, git, go and dir.
func (c *checker) checkSource(key, name string, src Source) {
	kinds := 0
	for _, value := range []string{src.DSC, src.URL, src.Git, src.Go, src.Dir} {
		if value != "" {
			kinds++
		}
	}
	if kinds != 1 {
		c.bad(key, fmt.Sprintf("source %q names %s of dsc, url, git, go and dir", name, []string{"none", "", "two", "three", "four", "all"}[kinds]),
			"give exactly one: dsc for a Debian source package, url for a tarball, git for a commit of a repository, go for a Go module, dir for a directory beside the recipe")
		return
	}
	if src.Git != "" {
		c.checkGit(key, name, src)
		if src.Latest != nil {
			c.checkLatest(key+".latest", name, src)
		}
		return
	}
	if src.Commit != "" || src.Submodules {
		c.bad(key, fmt.Sprintf("source %q has commit or submodules but no git", name), "remove them, or name the repository by git instead")
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

// checkGit applies the rules of a commit of a repository.
func (c *checker) checkGit(key, name string, src Source) {
	c.checkRepository(key+".git", src.Git)
	for i, mirror := range src.Mirrors {
		c.checkRepository(IndexPath(key+".mirrors", i), mirror)
	}
	if src.SHA256 != "" {
		c.bad(key+".sha256", fmt.Sprintf("source %q is a commit and has a sha256", name), "remove sha256: commit says what the files are")
	}
	find := fmt.Sprintf("`git ls-remote %s` lists the commits of branches and tags, those of tags in the lines with ^{}", src.Git)
	switch commit := src.Commit; {
	case commit == "":
		c.bad(key, fmt.Sprintf("source %q has no commit", name), `add commit = "...": `+find)
	case commitGrammar.MatchString(commit):
	case commitGrammar.MatchString(strings.ToLower(commit)):
		c.bad(key+".commit", fmt.Sprintf("the commit of source %q has capital letters", name), fmt.Sprintf("write %q", strings.ToLower(commit)))
	case sha256Commit.MatchString(commit):
		c.bad(key+".commit", fmt.Sprintf("commit %q is that of a repository in the SHA-256 format", commit),
			"use a repository in the SHA-1 format: the other cannot be fetched yet")
	case shortCommit.MatchString(commit):
		c.bad(key+".commit", fmt.Sprintf("commit %q is only the beginning of one", commit),
			fmt.Sprintf("write all 40 digits: `git rev-parse %s` prints them in a clone", commit))
	default:
		c.bad(key+".commit", fmt.Sprintf("%q is no commit: branches and tags can move", commit),
			"write the 40 digits that it stands for now: "+find)
	}
}

// checkRepository reports an address that nothing can be fetched from, or that
// holds a secret: it would end up in the lock.
func (c *checker) checkRepository(key, address string) {
	u, err := url.Parse(address)
	switch {
	case scpLikeGrammar.MatchString(address) && !strings.Contains(address, "://"):
		host, path, _ := strings.Cut(address, ":")
		c.bad(key, fmt.Sprintf("address %q has the short form of ssh", address), fmt.Sprintf(`write "ssh://%s/%s"`, host, path))
	case strings.HasPrefix(address, "/"):
		c.bad(key, fmt.Sprintf("address %q has no scheme", address), fmt.Sprintf(`write "file://%s"`, address))
	case err != nil || !slices.Contains(gitSchemes, u.Scheme) || u.RawQuery != "" || u.Fragment != "":
		c.bad(key, fmt.Sprintf("address %q names no git repository", address), gitSchemesAdvice)
	case u.Scheme == "file" && (u.Host != "" || !strings.HasPrefix(u.Path, "/")), u.Scheme != "file" && u.Host == "", strings.Trim(u.Path, "/") == "":
		c.bad(key, fmt.Sprintf("address %q names no git repository", address), gitSchemesAdvice)
	case strings.ContainsAny(address, "@") && u.User == nil:
		c.bad(key, fmt.Sprintf("address %q has an \"@\" in its path", address), "write it as %40")
	case u.User != nil && u.Scheme != "ssh":
		u.User = nil
		c.bad(key, fmt.Sprintf("the address of %q names an account", u.Redacted()),
			fmt.Sprintf("remove it: put \"machine %s login USER password SECRET\" into ~/.netrc", u.Hostname()))
	case u.User != nil && hasPassword(u):
		u.User = url.User(u.User.Username())
		c.bad(key, fmt.Sprintf("the address of %q names a password", u.Redacted()), "remove it: ssh uses the keys of the ssh agent")
	}
}

func hasPassword(u *url.URL) bool {
	_, ok := u.User.Password()
	return ok
}
