package access

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/riscv-build/riscv-build/recipes"
)

// tokenPrefix begins every token, so that scanners for secrets know one.
const tokenPrefix = "rbt_"

// Token is an entry of a token file: the token itself is not in it.
type Token struct {
	Name    string    `toml:"name"`
	Role    string    `toml:"role"`   // one of Roles
	SHA256  string    `toml:"sha256"` // of the token, hex
	Created time.Time `toml:"created"`
}

// Tokens are those of a file, which is read again when it has changed. Nil has
// none.
type Tokens struct {
	path string

	mu      sync.Mutex
	list    []Token
	read    stamp
	checked time.Time
}

// stamp tells two states of a file apart.
type stamp struct {
	modified time.Time
	size     int64
}

// Load reads a token file. Its errors name file and line.
func Load(path string) (*Tokens, error) {
	t := &Tokens{path: path}
	return t, t.Reload()
}

// Reload reads the file again; after an error the tokens read before stay.
func (t *Tokens) Reload() error {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.reload()
}

func (t *Tokens) reload() error {
	t.checked = time.Now()
	list, read, err := readTokens(t.path)
	t.read = read
	if err != nil {
		return err
	}
	t.list = list
	return nil
}

// current reads the file again if it has changed, and looks at most once a
// second whether it has. An error comes once for each change.
func (t *Tokens) current() ([]Token, error) {
	if t == nil {
		return nil, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var err error
	if time.Since(t.checked) >= time.Second {
		t.checked = time.Now()
		info, statErr := os.Stat(t.path)
		now := stamp{}
		if statErr == nil {
			now = stamp{info.ModTime(), info.Size()}
		}
		if now != t.read {
			err = t.reload()
		}
	}
	return t.list, err
}

// List gives the tokens that were last read, in the order of the file.
func (t *Tokens) List() []Token {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.list)
}

// lookUp finds what was presented. How long it takes tells nothing of any token.
func lookUp(list []Token, presented string) (found Token, ok bool) {
	sum := hexSum(presented)
	for _, t := range list {
		if subtle.ConstantTimeCompare([]byte(sum), []byte(t.SHA256)) == 1 {
			found, ok = t, true
		}
	}
	return found, ok
}

func hexSum(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

const addToken = "make it with `riscv-build serve token add NAME --role build --token-file FILE`"

func readTokens(path string) ([]Token, stamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, stamp{}, fmt.Errorf("reading tokens of %q: %w: check the path, or %s", path, err, addToken)
	}
	read := stamp{info.ModTime(), info.Size()}
	if info.Mode().Perm()&0o022 != 0 {
		return nil, read, fmt.Errorf("reading tokens of %q: others may write it (%s), and could make themselves admins: run `chmod 600 %s`", path, info.Mode().Perm(), path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, read, fmt.Errorf("reading tokens of %q: %w: make it readable for the service", path, err)
	}
	list, err := parseTokens(path, data)
	return list, read, err
}

var (
	nameGrammar = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	sumGrammar  = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

func parseTokens(path string, data []byte) ([]Token, error) {
	var file struct {
		Tokens []Token `toml:"token"`
	}
	lines, err := recipes.Decode(path, data, &file)
	if err != nil {
		return nil, err
	}
	var problems recipes.Problems
	seen := map[string]bool{}
	for i, t := range file.Tokens {
		bad := func(key, what, do string) {
			line := recipes.LineOf(lines, recipes.IndexPath("token", i)+key)
			problems = append(problems, recipes.Problem{File: path, Line: line, What: what, Do: do})
		}
		if what := checkName(t.Name); what != "" {
			bad(".name", what, "give it another name")
		}
		if !slices.Contains(Roles, Role(t.Role)) {
			bad(".role", fmt.Sprintf("role %q of token %q is not known", t.Role, t.Name), "use read, build or admin")
		}
		if !sumGrammar.MatchString(t.SHA256) {
			bad(".sha256", fmt.Sprintf("token %q has no sha256 of 64 small hexadecimal digits", t.Name), "remove the entry and add the token anew: it is shown once")
		}
		for _, key := range []string{"name " + t.Name, "sha256 " + t.SHA256} {
			if seen[key] {
				bad("", fmt.Sprintf("token %q is listed twice", t.Name), "remove one of the two")
			}
			seen[key] = true
		}
	}
	return file.Tokens, problems.Err()
}

// checkName says what is wrong with the name of a token.
func checkName(name string) string {
	switch {
	case !nameGrammar.MatchString(name):
		return fmt.Sprintf("%q is no name of a token: letters, digits and \".\", \"_\", \"-\" are, at most 64", name)
	case name == localName:
		return fmt.Sprintf("the name %q stands for commands on the service's machine", name)
	}
	return ""
}

// Add makes a token and writes its hash into the file, which is made if it is
// not there. The token is nowhere but in the answer.
func Add(path, name string, role Role) (token string, err error) {
	if what := checkName(name); what != "" {
		return "", fmt.Errorf("adding token %q: %s: give it another name", name, what)
	}
	if !slices.Contains(Roles, role) {
		return "", fmt.Errorf("adding token %q: role %q is not known: use read, build or admin", name, role)
	}
	list, err := entries(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if slices.ContainsFunc(list, func(t Token) bool { return t.Name == name }) {
		return "", fmt.Errorf("adding token %q: there is one of that name in %q: remove it first, or take another name", name, path)
	}
	secret := make([]byte, 32)
	rand.Read(secret) // never fails
	token = tokenPrefix + base64.RawURLEncoding.EncodeToString(secret)
	list = append(list, Token{name, string(role), hexSum(token), time.Now().UTC().Truncate(time.Second)})
	return token, writeTokens(path, list)
}

// Remove takes a token out of the file: it and its sessions end within a second.
func Remove(path, name string) error {
	list, err := entries(path)
	if err != nil {
		return err
	}
	left := slices.DeleteFunc(slices.Clone(list), func(t Token) bool { return t.Name == name })
	if len(left) == len(list) {
		return fmt.Errorf("removing token %q: %q has none of that name: `riscv-build serve token ls` lists them", name, path)
	}
	return writeTokens(path, left)
}

// entries reads a token file. One that is not there gives an error that wraps
// fs.ErrNotExist.
func entries(path string) ([]Token, error) {
	list, _, err := readTokens(path)
	return list, err
}

// writeTokens replaces the file: it is there whole or as it was.
func writeTokens(path string, list []Token) (err error) {
	var b bytes.Buffer
	b.WriteString("# Tokens of riscv-build's service, by their SHA-256. Roles: read, build, admin.\n")
	for _, t := range list {
		fmt.Fprintf(&b, "\n[[token]]\nname = %q\nrole = %q\nsha256 = %q\ncreated = %s\n", t.Name, t.Role, t.SHA256, t.Created.UTC().Format(time.RFC3339))
	}
	aside, err := os.CreateTemp(filepath.Dir(path), ".tokens-*") // mode 0600
	if err == nil {
		_, err = aside.Write(b.Bytes())
		if err == nil {
			err = aside.Sync()
		}
		if err = errors.Join(err, aside.Close()); err == nil {
			err = os.Rename(aside.Name(), path)
		}
		if err != nil {
			_ = os.Remove(aside.Name()) // the first error counts
		}
	}
	if err != nil {
		return fmt.Errorf("writing tokens to %q: %w: check that its directory can be written", path, err)
	}
	return nil
}
