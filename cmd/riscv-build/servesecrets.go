package main

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/riscv-build/riscv-build/pusher"
)

// What is written instead of a secret, and how many bytes one has at least:
// a shorter one would be found in words that are none.
const (
	hidden      = "***"
	leastSecret = 6
)

// secretNames are the endings of environment variables whose values are secrets.
var secretNames = []string{"_TOKEN", "_PASSWORD", "_SECRET"}

// secrets knows the passwords that this process could come to print, and takes
// them out of what is kept and shown.
type secrets struct {
	more     []string // besides those of the environment and of docker's configuration
	replacer atomic.Pointer[strings.Replacer]
}

// hide takes secrets out of a text.
func (s *secrets) hide(text string) string {
	if r := s.replacer.Load(); r != nil {
		return r.Replace(text)
	}
	return text
}

// read looks for secrets anew: somebody may have logged in at a registry since.
func (s *secrets) read(log *slog.Logger) {
	found := slices.Clone(s.more)
	for _, v := range os.Environ() {
		name, value, _ := strings.Cut(v, "=")
		if slices.ContainsFunc(secretNames, func(end string) bool { return strings.HasSuffix(name, end) }) {
			found = append(found, value)
		}
	}
	path := pusher.DockerConfig()
	of, err := dockerSecrets(path)
	if err != nil {
		log.Warn("passwords of registries may appear in logs of builds", "file", path, "error", err.Error())
	}
	found = append(found, of...)
	found = slices.DeleteFunc(found, func(secret string) bool { return len(secret) < leastSecret })
	slices.SortFunc(found, func(a, b string) int { return cmp.Or(len(b)-len(a), cmp.Compare(a, b)) }) // one may begin another
	var pairs []string
	for _, secret := range slices.Compact(found) {
		pairs = append(pairs, secret, hidden)
	}
	s.replacer.Store(strings.NewReplacer(pairs...))
}

// dockerSecrets reads the passwords and tokens of a docker configuration. What a
// credential helper keeps is not in it.
func dockerSecrets(path string) ([]string, error) {
	raw, err := os.ReadFile(path)
	if os.IsNotExist(err) || path == "" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var file struct {
		Auths map[string]struct {
			Auth, Password, IdentityToken, RegistryToken string
		}
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		return nil, err
	}
	var found []string
	for _, a := range file.Auths {
		found = append(found, a.Auth, a.Password, a.IdentityToken, a.RegistryToken)
		if plain, err := base64.StdEncoding.DecodeString(a.Auth); err == nil {
			_, password, _ := strings.Cut(string(plain), ":")
			found = append(found, strings.TrimRight(password, "\x00"))
		}
	}
	return found, nil
}

// lineOfFile is the only line of a file that holds a secret.
func lineOfFile(flag, path string) (string, error) {
	raw, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return "", usagef("reading --%s %q: %w: name a file that holds the token", flag, path, err)
	}
	line := strings.TrimSpace(string(raw))
	if line == "" || strings.ContainsAny(line, " \t\n") {
		return "", usagef("reading --%s %q: it is not one word: write the token into it, and nothing else", flag, path)
	}
	return line, nil
}
