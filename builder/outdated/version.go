package outdated

import (
	"regexp"
	"strings"

	"pault.ag/go/debian/version"
)

// marked is how releases that are none yet are called: 2.0-rc1, 2.0beta2, 2.0~rc.1.
var marked = regexp.MustCompile(`(?i)[0-9][-._~]?(alpha|beta|dev|pre|preview|rc)[-._]?[0-9]*`)

// preRelease tells whether a version is one that comes before a release.
func preRelease(text string) bool { return marked.MatchString(text) }

// compare compares as dpkg does, and tells whether both are versions.
func compare(a, b string) (order int, ok bool) {
	va, errA := version.Parse(plain(a))
	vb, errB := version.Parse(plain(b))
	return version.Compare(va, vb), errA == nil && errB == nil
}

// plain writes a version as dpkg orders it: a pre-release, which dpkg would
// take for a revision of the release, comes before it.
func plain(text string) string {
	text = strings.TrimPrefix(text, "v")
	if at := marked.FindStringIndex(text); at != nil {
		text = text[:at[0]+1] + "~" + strings.TrimLeft(text[at[0]+1:], "-._~")
	}
	return text
}
