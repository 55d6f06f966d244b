// Package config reads the configuration files of riscv-build:
//
//	/etc/riscv-build/config.toml
//	$XDG_CONFIG_HOME/riscv-build/config.toml   (default ~/.config)
//
// The second wins over the first, key by key. What a flag or an environment
// variable says wins over both, which is for the caller to see to. The package
// also knows where the state directory is by default.
//
// It is not for recipes: nothing here may change the bytes of an image.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/riscv-build/riscv-build/builder/engine/remote"
	"github.com/riscv-build/riscv-build/pusher"
	"github.com/riscv-build/riscv-build/pusher/containerd"
	"github.com/riscv-build/riscv-build/recipes"
)

// The environment variables that name the state directory, the containerd and the engine.
const (
	EnvStateDir   = "RISCV_BUILD_STATE_DIR"
	EnvContainerd = "RISCV_BUILD_CONTAINERD"
	EnvEngine     = "RISCV_BUILD_ENGINE"
	EnvEngineTLS  = "RISCV_BUILD_ENGINE_TLS"
)

// The engines that have no URL.
const (
	EngineAuto     = "auto" // the embedded one, else the first that is found
	EngineEmbedded = "embedded"
)

// Config is what the files say. Every key may be left out.
type Config struct {
	Mirrors    []string            `toml:"mirrors"`     // archive roots; one that ends in -security is of the security archive
	Snapshot   string              `toml:"snapshot"`    // root of a snapshot service; "none" switches it off
	GoProxies  []string            `toml:"go_proxies"`  // module proxies, as in GOPROXY; the environment wins
	Keyring    string              `toml:"keyring"`     // file of archive keys that replaces the built-in ones
	StateDir   string              `toml:"state_dir"`   // absolute path
	CacheLimit string              `toml:"cache_limit"` // size of the build cache such as "10GB"; see Size
	Registry   string              `toml:"registry"`    // HOST[:PORT][/PREFIX] of the registry that images are pushed to; see PushRegistry
	Stall      string              `toml:"stall"`       // time such as "30s" after which a transfer that stands still is given up; see StallTime
	Containerd string              `toml:"containerd"`  // SOCKET[,namespace=NS] or "none"; see containerd.Parse
	Engine     string              `toml:"engine"`      // auto, embedded or the URL of a BuildKit; see remote.ParseAddress
	EngineTLS  string              `toml:"engine_tls"`  // directory with ca.pem, cert.pem and key.pem
	Registries map[string]Registry `toml:"registries"`  // by HOST or HOST:PORT
}

// Registry says how one registry is reached.
type Registry struct {
	PlainHTTP bool   `toml:"plain_http"` // HTTP without TLS
	CA        string `toml:"ca"`         // PEM file of certificate authorities
	Cert      string `toml:"cert"`       // PEM file of a client certificate
	Key       string `toml:"key"`        // PEM file of its key
}

// PushRegistry is the registry that is asked where none is named: what registry
// says, else the only one of registries, else "".
func (c *Config) PushRegistry() string {
	if c.Registry == "" && len(c.Registries) == 1 {
		for host := range c.Registries {
			return host
		}
	}
	return c.Registry
}

// StallTime is how long a transfer with a registry may stand still; 0 where
// nothing is said.
func (c *Config) StallTime() time.Duration {
	d, _ := time.ParseDuration(c.Stall) // validate has read it
	return d
}

// Load reads the files that exist. The error is of type recipes.Problems if a
// file was read but is not correct, and names every problem of all files.
func Load(paths []string) (*Config, error) {
	merged := &Config{}
	var problems recipes.Problems
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading configuration %q: %w: correct its permissions", path, err)
		}
		c, err := parse(path, data)
		var ps recipes.Problems
		if errors.As(err, &ps) {
			problems = append(problems, ps...)
			continue
		}
		if err != nil {
			return nil, err
		}
		merged.overlay(c)
	}
	return merged, problems.Err()
}

func parse(path string, data []byte) (*Config, error) {
	c := &Config{}
	lines, err := recipes.Decode(path, data, c)
	if err != nil {
		return nil, err
	}
	return c, c.validate(path, lines)
}

// validate checks what decoding cannot see.
func (c *Config) validate(path string, lines map[string]int) error {
	var problems recipes.Problems
	bad := func(key, what, do string) {
		problems = append(problems, recipes.Problem{File: path, Line: recipes.LineOf(lines, key), What: what, Do: do})
	}
	if _, err := Size(c.CacheLimit); err != nil {
		bad("cache_limit", fmt.Sprintf("cache_limit = %q is no size", c.CacheLimit), `write a number and a unit, such as "10GB"`)
	}
	if d, err := time.ParseDuration(c.Stall); c.Stall != "" && (err != nil || d < time.Second) {
		bad("stall", fmt.Sprintf("stall = %q is no time, or less than a second", c.Stall), `write a number and a unit, such as "30s" or "2m"`)
	}
	if c.StateDir != "" && !filepath.IsAbs(c.StateDir) {
		bad("state_dir", fmt.Sprintf("state_dir = %q is no absolute path", c.StateDir), "write the path from / on")
	}
	if c.Registry != "" {
		if _, _, err := pusher.ParseTarget(c.Registry); err != nil {
			bad("registry", fmt.Sprintf("registry = %q is no registry", c.Registry), `write HOST[:PORT][/PREFIX], such as "192.168.1.5:6000"`)
		}
	}
	if c.Engine != "" && c.Engine != EngineAuto && c.Engine != EngineEmbedded {
		if _, err := remote.ParseAddress(c.Engine); err != nil {
			bad("engine", fmt.Sprintf("engine = %q names no engine", c.Engine), "write "+strings.Join(append([]string{EngineAuto, EngineEmbedded}, remote.Forms()...), ", "))
		}
	}
	if c.EngineTLS != "" && !filepath.IsAbs(c.EngineTLS) {
		bad("engine_tls", fmt.Sprintf("engine_tls = %q is no absolute path", c.EngineTLS), "write the path from / on")
	}
	if c.Containerd != "" && c.Containerd != containerd.None {
		if _, err := containerd.Parse(c.Containerd); err != nil {
			bad("containerd", fmt.Sprintf("containerd = %q names no containerd", c.Containerd), fmt.Sprintf("write SOCKET[,namespace=NS], such as %q, or %q", containerd.SystemSocket, containerd.None))
		}
	}
	for host, r := range c.Registries {
		if (r.Cert == "") != (r.Key == "") {
			bad(recipes.JoinPath("registries", host), fmt.Sprintf("registry %q has a client certificate without its key, or the other way round", host),
				"write both cert and key")
		}
	}
	slices.SortFunc(problems, func(a, b recipes.Problem) int { return a.Line - b.Line })
	return problems.Err()
}

// overlay lets what the other file says win.
func (c *Config) overlay(o *Config) {
	for _, pair := range []struct{ to, from *string }{
		{&c.Snapshot, &o.Snapshot}, {&c.Keyring, &o.Keyring}, {&c.StateDir, &o.StateDir}, {&c.CacheLimit, &o.CacheLimit}, {&c.Registry, &o.Registry},
		{&c.Stall, &o.Stall}, {&c.Containerd, &o.Containerd},
		{&c.Engine, &o.Engine}, {&c.EngineTLS, &o.EngineTLS},
	} {
		if *pair.from != "" {
			*pair.to = *pair.from
		}
	}
	if len(o.Mirrors) > 0 {
		c.Mirrors = o.Mirrors
	}
	if len(o.GoProxies) > 0 {
		c.GoProxies = o.GoProxies
	}
	for host, r := range o.Registries {
		if c.Registries == nil {
			c.Registries = map[string]Registry{}
		}
		c.Registries[host] = r
	}
}
