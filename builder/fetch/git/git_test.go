package git

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// quick gives up soon.
func quick(t *testing.T) Options {
	return Options{Name: `source "x" (x.toml:7)`, Dir: t.TempDir(), Rounds: 2, Backoff: time.Millisecond, Stall: 10 * time.Second, Netrc: filepath.Join(t.TempDir(), "none")}
}

// fetched gives the tar as text lines, and its bytes. Nothing may be left behind.
func fetched(t *testing.T, c Commit, opt Options) (listing string, raw []byte, err error) {
	t.Helper()
	var b bytes.Buffer
	date, err := Write(t.Context(), &b, c, opt)
	if left, _ := os.ReadDir(opt.Dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if err != nil {
		return "", nil, err
	}
	if want := time.Unix(1700000001, 0).UTC(); !date.Equal(want) {
		t.Errorf("the date is %s, want %s", date, want)
	}
	return list(t, b.Bytes(), date), b.Bytes(), nil
}

func list(t *testing.T, raw []byte, date time.Time) string {
	t.Helper()
	var out strings.Builder
	r := tar.NewReader(bytes.NewReader(raw))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || !h.ModTime.Equal(date) {
			t.Errorf("%s has owner %d:%d %q and time %s", h.Name, h.Uid, h.Gid, h.Uname, h.ModTime)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) > 40 {
			data = []byte(fmt.Sprint(len(data), " bytes"))
		}
		fmt.Fprintf(&out, "%o %s%s%s\n", h.Mode, h.Name, strings.TrimRight(" -> "+h.Linkname, "-> "), strings.TrimRight(" "+string(data), " \n"))
	}
}

// sample is a repository with all kinds of entries and a history, and its last
// commit but one.
func sample(t *testing.T, dir string) (hash, tip string) {
	t.Helper()
	noise := make([]byte, 300000)
	rand.New(rand.NewSource(1)).Read(noise)
	commit(t, dir, map[string]string{"big": string(noise), "gone": "old\n"})
	if err := os.Remove(filepath.Join(dir, "big")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "gone")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../a file", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	commit(t, dir, map[string]string{
		"a file": "one\n", "sub/deep/er": "two\n", "sub.txt": "", "run": "#!/bin/sh\n",
		".gitattributes": "run export-ignore\na* text eol=crlf export-subst\n",
		"text":           strings.Repeat("many lines\n", 2000), strings.Repeat("long", 30) + "/" + strings.Repeat("name", 30): "x",
	})
	gitCommand(t, dir, "update-index", "--chmod=+x", "run")
	gitCommand(t, dir, "commit", "-q", "--amend", "-m", "change")
	hash = gitCommand(t, dir, "rev-parse", "HEAD")
	return hash, commit(t, dir, map[string]string{"text": strings.Repeat("many lines\n", 2001)})
}

const sampleList = `755 source/
644 source/.gitattributes 48 bytes
644 source/a file one
777 source/link -> ../a file
755 source/LONG/
644 source/LONG/NAME x
755 source/run #!/bin/sh
644 source/sub.txt
755 source/sub/
755 source/sub/deep/
644 source/sub/deep/er two
644 source/text 22000 bytes
`

func sampleListing() string {
	return strings.NewReplacer("LONG", strings.Repeat("long", 30), "NAME", strings.Repeat("name", 30)).Replace(sampleList)
}

// TestWrite fetches one commit in every way that there is, and gets one tar.
func TestWrite(t *testing.T) {
	root := t.TempDir()
	hash, tip := sample(t, filepath.Join(root, "x"))
	gitCommand(t, root, "clone", "-q", "--bare", "x", "x.git")
	gitCommand(t, filepath.Join(root, "x.git"), "repack", "-adfq")
	gitCommand(t, filepath.Join(root, "x"), "tag", "-a", "-m", "release", "v1", hash)
	gitCommand(t, root, "clone", "-q", "--bare", "x", "tagged.git")
	plain := serve(t, root)
	open := serve(t, root, "uploadpack.allowReachableSHA1InWant=true")
	var first []byte
	for _, c := range []struct {
		name, url string
		server    *server
		posts     int
		whole     bool // the history comes along
	}{
		{"directory with a work tree", "file://" + root + "/x", nil, 0, false},
		{"bare directory", "file://" + root + "/x.git", nil, 0, false},
		{"server that gives any commit", open.URL + "/x.git", open, 1, false},
		{"server that gives branches only", plain.URL + "/x.git", plain, 1, true},
		{"commit of a tag", plain.URL + "/tagged.git", plain, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.server != nil {
				c.server.count("")
				c.server.received = 0
			}
			got, raw, err := fetched(t, Commit{URLs: []string{c.url}, Hash: hash}, quick(t))
			if err != nil {
				t.Fatal(err)
			}
			if got != sampleListing() {
				t.Errorf("got:\n%s\nwant:\n%s", got, sampleListing())
			}
			if first == nil {
				first = raw
			}
			if !bytes.Equal(raw, first) {
				t.Error("the tar differs from the first")
			}
			if c.server == nil {
				return
			}
			if whole := c.server.received > 300000; whole != c.whole {
				t.Errorf("%d bytes came: all history %v, want %v", c.server.received, whole, c.whole)
			}
			if n := c.server.count("POST"); n != c.posts {
				t.Errorf("%d packs were asked for, want %d", n, c.posts)
			}
		})
	}
	if _, raw, err := fetched(t, Commit{URLs: []string{plain.URL + "/x.git"}, Hash: tip}, quick(t)); err != nil || bytes.Equal(raw, first) {
		t.Errorf("the tip of a branch gives %d bytes, %v", len(raw), err)
	}
}

func TestSubmodules(t *testing.T) {
	root := t.TempDir()
	commit(t, filepath.Join(root, "inner"), map[string]string{"inner.txt": "in\n"})
	commit(t, filepath.Join(root, "outer"), map[string]string{"outer.txt": "out\n"})
	add := func(dir, url, path string) string {
		gitCommand(t, filepath.Join(root, dir), "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../"+url, path)
		gitCommand(t, filepath.Join(root, dir), "config", "-f", ".gitmodules", "submodule."+path+".url", "../"+url)
		return commit(t, filepath.Join(root, dir), nil)
	}
	add("outer", "inner", "lib/inner")
	commit(t, filepath.Join(root, "top"), map[string]string{"z": "z\n"})
	hash := add("top", "outer", "outer")
	s := serve(t, root)
	want := "755 source/\n644 source/.gitmodules 50 bytes\n755 source/outer/\n"
	got, _, err := fetched(t, Commit{URLs: []string{s.URL + "/top/.git"}, Hash: hash}, quick(t))
	if err != nil || got != want+"644 source/z z\n" {
		t.Errorf("without submodules: %v\n%s", err, got)
	}
	want += "644 source/outer/.gitmodules 58 bytes\n755 source/outer/lib/\n755 source/outer/lib/inner/\n644 source/outer/lib/inner/inner.txt in\n644 source/outer/outer.txt out\n644 source/z z\n"
	for _, url := range []string{"file://" + root + "/top", s.URL + "/top"} {
		got, _, err = fetched(t, Commit{URLs: []string{url}, Hash: hash, Submodules: true}, quick(t))
		if err != nil || got != want {
			t.Errorf("%s: %v\n%s\nwant:\n%s", url, err, got, want)
		}
	}
	// A server may not name what lies on this machine.
	gitCommand(t, filepath.Join(root, "top"), "config", "-f", ".gitmodules", "submodule.outer.url", "file://"+root+"/outer")
	bad := commit(t, filepath.Join(root, "top"), nil)
	_, _, err = fetched(t, Commit{URLs: []string{s.URL + "/top"}, Hash: bad, Submodules: true}, quick(t))
	if err == nil || !strings.Contains(err.Error(), "none of https://") {
		t.Errorf("a submodule of this machine gives %v", err)
	}
}

// TestNetrc sends an account to the host that it is for, over TLS, and to no other.
func TestNetrc(t *testing.T) {
	root := t.TempDir()
	hash, _ := sample(t, filepath.Join(root, "x"))
	s := &server{root: root}
	s.Server = httptest.NewTLSServer(s.handler(t, nil))
	t.Cleanup(s.Close)
	s.before = func(w http.ResponseWriter, r *http.Request) bool {
		user, password, _ := r.BasicAuth()
		if user == "anna" && password == "s#cret" {
			return false
		}
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	opt := quick(t)
	opt.Client = s.Client()
	c := Commit{URLs: []string{s.URL + "/x/.git"}, Hash: hash}
	if _, _, err := fetched(t, c, opt); err == nil || !strings.Contains(err.Error(), "netrc") {
		t.Errorf("without an account: %v", err)
	}
	opt.Netrc = filepath.Join(t.TempDir(), "netrc")
	text := "# accounts\nmachine other.example login eve password x\nmacdef init\ncd /pub\nmachine 127.0.0.1 login mallory\n\nmachine 127.0.0.1\n\tlogin anna\n\tpassword s#cret\n"
	if err := os.WriteFile(opt.Netrc, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := fetched(t, c, opt); err != nil {
		t.Errorf("with an account: %v", err)
	}
	plain := serve(t, root)
	plain.before = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Authorization") != "" {
			t.Error("an account is sent without TLS")
		}
		return false
	}
	if _, _, err := fetched(t, Commit{URLs: []string{plain.URL + "/x/.git"}, Hash: hash}, opt); err != nil {
		t.Error(err)
	}
}

func TestParse(t *testing.T) {
	hash := strings.Repeat("0123456789", 4)
	c := Commit{URLs: []string{"https://git.example/x.git", "ssh://git@git.example/x.git"}, Hash: hash, Submodules: true}
	back, err := Parse(c.Addresses())
	if err != nil || back.Hash != hash || !back.Submodules || !slices.Equal(back.URLs, c.URLs) {
		t.Errorf("%v is read back as %+v (%v)", c.Addresses(), back, err)
	}
	for _, bad := range [][]string{{"https://git.example/x.git@" + hash}, {"git+https://git.example/x.git"}, {"git+https://git.example/x.git@main"}, {c.Addresses()[0], "git+https://git.example/x.git@" + hash}} {
		if c, err := Parse(bad); err == nil {
			t.Errorf("%v is read as %+v", bad, c)
		}
	}
}

func TestResolve(t *testing.T) {
	for _, c := range [][3]string{
		{"https://git.example/team/x.git", "../y.git", "https://git.example/team/y.git"},
		{"https://git.example/team/x.git", "./y.git", "https://git.example/team/x.git/y.git"},
		{"ssh://git@git.example/team/x.git/", "../../z/y", "ssh://git@git.example/z/y"},
		{"file:///srv/x", "../y", "file:///srv/y"},
		{"file:///srv/x", "/srv/z", "file:///srv/z"},
		{"https://git.example/x", "git@other.example:team/y.git", "ssh://git@other.example/team/y.git"},
		{"https://git.example/x", "http://other.example/y", "http://other.example/y"},
		{"https://git.example/x", "/srv/y", ""},
		{"https://git.example/x", "file:///srv/y", ""},
		{"https://git.example/x", "ext::sh -c id", ""},
	} {
		if got, err := resolve(c[0], c[1]); got != c[2] || (err == nil) != (c[2] != "") {
			t.Errorf("%s from %s is %q (%v), want %q", c[1], c[0], got, err, c[2])
		}
	}
}
