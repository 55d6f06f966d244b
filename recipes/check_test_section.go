package recipes

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// The grammars of HTTP (RFC 9110, 5.6.2 and 9.1).
var (
	methodGrammar = regexp.MustCompile(`^[A-Z]+$`)
	headerGrammar = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")
)

func (c *checker) checkTests() {
	names := map[string]int{}
	for i, t := range c.r.Tests {
		key := IndexPath("test", i)
		first, twice := names[t.Name]
		switch {
		case strings.TrimSpace(t.Name) == "":
			c.bad(key+".name", "the test has no name", `add name = "..." that says what is true when it passes`)
		case twice:
			c.bad(key+".name", fmt.Sprintf("test %q is defined twice", t.Name), fmt.Sprintf("rename it, or the one in line %d", c.r.Line(IndexPath("test", first)+".name")))
		default:
			names[t.Name] = i
		}
		c.checkKind(key, t)
		c.env(key+".env", t.Env)
		if t.Timeout.Duration <= 0 {
			c.bad(key+".timeout", fmt.Sprintf("timeout %q is not positive", t.Timeout), `write a time such as "60s"`)
		}
		if t.Exit < 0 || t.Exit > 255 {
			c.bad(key+".exit", fmt.Sprintf("exit %d is no exit status", t.Exit), "use 0 to 255")
		}
		c.match(key+".stdout", t.Stdout)
		c.match(key+".stderr", t.Stderr)
	}
}

// checkKind reports a test that is of no kind, of several, or that has keys
// its kind does not use.
func (c *checker) checkKind(key string, t Test) {
	var kinds []string
	if t.HTTP != nil {
		kinds = append(kinds, "http")
		c.checkHTTP(key+".http", t.HTTP)
	}
	if t.TCP != nil {
		kinds = append(kinds, "tcp")
		c.port(key+".tcp", t.TCP.Port)
		c.match(key+".tcp.expect", t.TCP.Expect)
	}
	if t.File != nil {
		kinds = append(kinds, "file")
		c.checkFileProbe(key+".file", t.File)
	}
	if len(kinds) == 0 && !c.r.given(key+".run") {
		c.bad(key, fmt.Sprintf("test %q tests nothing", t.Name), "add one of run, http, tcp and file")
	}
	if len(kinds) > 1 {
		c.bad(key, fmt.Sprintf("test %q is of several kinds (%s)", t.Name, strings.Join(kinds, ", ")), "make a [[test]] of each")
	}
	if len(kinds) == 0 {
		return
	}
	unused := []string{"exit"}
	if kinds[0] == "file" {
		unused = append(unused, "run", "entrypoint", "env", "stdin", "stdout", "stderr", "timeout")
	}
	for _, name := range unused {
		if c.r.given(key + "." + name) {
			c.bad(key+"."+name, fmt.Sprintf("a test with %s makes no use of %s", kinds[0], name), "remove it, or make a [[test]] with run of it")
		}
	}
}

func (c *checker) checkHTTP(key string, h *HTTPProbe) {
	c.port(key, h.Port)
	if !strings.HasPrefix(h.Path, "/") || strings.ContainsAny(h.Path, " \r\n\t") {
		c.bad(key+".path", fmt.Sprintf("%q is no path of a web page", h.Path), `start it with "/", and write a space as %20`)
	}
	if !methodGrammar.MatchString(h.Method) {
		c.bad(key+".method", fmt.Sprintf("method %q is no HTTP method", h.Method), `use "GET", "HEAD" or "POST"`)
	}
	if h.Status < 100 || h.Status > 599 {
		c.bad(key+".status", fmt.Sprintf("status %d is no HTTP status", h.Status), "use 100 to 599")
	}
	for _, name := range slices.Sorted(maps.Keys(h.Headers)) {
		if !headerGrammar.MatchString(name) || strings.ContainsAny(h.Headers[name], "\r\n\x00") {
			c.bad(JoinPath(key+".headers", name), fmt.Sprintf("%q is no HTTP header", name), "write name and value without line ends, and the name without spaces")
		}
	}
	c.match(key+".body", h.Body)
}

func (c *checker) port(key string, port int) {
	switch {
	case port == 0 && !c.r.given(key+".port"):
		c.bad(key+".port", key+" names no port", "add port = ...: what the program in the image listens on")
	case port < 1 || port > 65535:
		c.bad(key+".port", fmt.Sprintf("port %d is out of range", port), "use 1 to 65535")
	}
}

// match reports a comparison that compares nothing, or by an expression that
// does not compile.
func (c *checker) match(key string, m *Match) {
	if m == nil {
		return
	}
	if m.Contains == nil && m.Equals == nil && m.Matches == nil {
		c.bad(key, key+" compares nothing", "add contains, equals or matches")
	}
	c.expression(key+".matches", m.Matches)
}

func (c *checker) expression(key string, text *string) {
	if text == nil {
		return
	}
	if _, err := regexp.Compile(*text); err != nil {
		why := strings.TrimPrefix(err.Error(), "error parsing regexp: ")
		c.bad(key, fmt.Sprintf("%q is no regular expression (%s)", *text, why), "write it in RE2 syntax, in 'single quotes'")
	}
}

func (c *checker) checkFileProbe(key string, f *FileProbe) {
	c.absolute(key+".path", f.Path)
	c.expression(key+".matches", f.Matches)
	if f.Mode != nil {
		c.mode(key+".mode", *f.Mode)
	}
	compares := f.Mode != nil || f.Link != nil || f.Contains != nil || f.Equals != nil || f.Matches != nil
	if f.Absent && compares {
		c.bad(key+".absent", fmt.Sprintf("file %q is to be absent and to have properties", f.Path), "remove absent, or the other keys")
	}
	if f.Link != nil && (f.Contains != nil || f.Equals != nil || f.Matches != nil) {
		c.bad(key+".link", fmt.Sprintf("file %q is to be a link and to have content", f.Path), "test the content at the link's target")
	}
}
