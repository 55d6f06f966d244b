package recipes

import (
	"fmt"
	"regexp"
)

// checkLatest applies the rules of how newer releases are found out.
func (c *checker) checkLatest(key, name string, src Source) {
	if src.URL == "" && src.Git == "" {
		c.bad(key, fmt.Sprintf("source %q has latest but no url or git", name), "remove latest: it is for tarballs and commits, what archive and module proxies have is known without it")
		return
	}
	if !isWebURL(src.Latest.URL) {
		c.bad(key+".url", fmt.Sprintf("address %q names no page", src.Latest.URL), "use https:// or http://")
	}
	expr, err := regexp.Compile(src.Latest.Matches)
	switch {
	case err != nil:
		c.bad(key+".matches", fmt.Sprintf("expression %q is wrong: %v", src.Latest.Matches, err), "write an RE2 expression, in single quotes")
	case expr.NumSubexp() != 1:
		c.bad(key+".matches", fmt.Sprintf("expression %q has %d groups", src.Latest.Matches, expr.NumSubexp()),
			"put the version, and nothing else, in parentheses; (?:...) is no group")
	}
}
