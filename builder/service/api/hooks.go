package api

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/riscv-build/riscv-build/recipes"
)

// The kinds of Hook: who sends.
const (
	GitHub  = "github"
	Gitea   = "gitea" // and Forgejo
	Generic = "generic"
)

var hookKinds = []string{GitHub, Gitea, Generic}

// Hook is a webhook: POST /webhooks/NAME.
type Hook struct {
	Name   string
	Kind   string // GitHub, Gitea or Generic
	Secret []byte // of the HMAC-SHA256 over a delivery's body
}

// minSecret is the shortest secret of a webhook, in bytes.
const minSecret = 16

var hookName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// hookFile is a file of webhooks.
type hookFile struct {
	Webhook []hookEntry `toml:"webhook"`
}

type hookEntry struct {
	Name       string `toml:"name"`
	Kind       string `toml:"kind"`
	Secret     string `toml:"secret"`
	SecretFile string `toml:"secret_file"` // relative to the file's directory; white space around the secret is cut
}

// ParseHooks reads a TOML file of webhooks: tables [[webhook]] with name, kind
// and either secret or secret_file. Files with secrets that everybody on the
// machine can read are refused.
func ParseHooks(path string) ([]Hook, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading webhooks %q: %w: check the path", path, err)
	}
	var f hookFile
	if _, err := recipes.Decode(path, data, &f); err != nil {
		return nil, fmt.Errorf("reading webhooks %q: %w", path, err)
	}
	var hooks []Hook
	var problems []error
	for _, e := range f.Webhook {
		h, err := e.hook(path)
		if err == nil && slices.ContainsFunc(hooks, func(other Hook) bool { return other.Name == h.Name }) {
			err = errors.New("there are two of that name: rename one")
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("reading webhook %q of %q: %w", e.Name, path, err))
			continue
		}
		hooks = append(hooks, h)
	}
	return hooks, errors.Join(problems...)
}

func (e hookEntry) hook(path string) (Hook, error) {
	h := Hook{Name: e.Name, Kind: e.Kind, Secret: []byte(e.Secret)}
	holder := path
	switch {
	case !hookName.MatchString(e.Name):
		return h, errors.New(`write name = "..." in small letters, digits, dots and dashes, at most 64`)
	case !slices.Contains(hookKinds, e.Kind):
		return h, fmt.Errorf("kind %q is none: write one of %s", e.Kind, strings.Join(hookKinds, ", "))
	case (e.Secret == "") == (e.SecretFile == ""):
		return h, errors.New("write either secret or secret_file")
	case e.SecretFile != "":
		holder = e.SecretFile
		if !filepath.IsAbs(holder) {
			holder = filepath.Join(filepath.Dir(path), holder)
		}
		data, err := os.ReadFile(holder)
		if err != nil {
			return h, fmt.Errorf("reading secret_file %q: %w: check the path", e.SecretFile, err)
		}
		h.Secret = []byte(strings.TrimSpace(string(data)))
	}
	if len(h.Secret) < minSecret {
		return h, fmt.Errorf("the secret has %d bytes, fewer than %d: make one with `openssl rand -hex 32`", len(h.Secret), minSecret)
	}
	return h, private(holder)
}

// private refuses a file that everybody can read.
func private(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o004 != 0 {
		return fmt.Errorf("everybody on this machine can read the secret in %q: chmod o-rwx it", path)
	}
	return nil
}
