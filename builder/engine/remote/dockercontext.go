package remote

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/moby/client"
	"github.com/opencontainers/go-digest"
	"github.com/riscv-build/riscv-build/builder/engine"
)

// defaultContext is the context of Docker that is not written down anywhere:
// DOCKER_HOST, or the usual socket.
const defaultContext = "default"

// dockerContext is where a context of Docker has its daemon.
type dockerContext struct {
	name string
	host string // empty: by the environment, or the usual socket
	tls  string // directory with ca.pem, cert.pem and key.pem; empty: none
}

// dockerDir is where the docker command keeps its configuration.
func dockerDir(getenv func(string) string) string {
	if dir := getenv("DOCKER_CONFIG"); dir != "" {
		return dir
	}
	return filepath.Join(getenv("HOME"), ".docker")
}

// findDockerContext finds a context by its name; "" is the one that the docker
// command would use.
func findDockerContext(name string, getenv func(string) string) (dockerContext, error) {
	dir := dockerDir(getenv)
	if name == "" {
		if getenv("DOCKER_HOST") != "" {
			return dockerContext{name: defaultContext}, nil
		}
		current, err := currentContext(filepath.Join(dir, "config.json"))
		if err != nil {
			return dockerContext{}, err
		}
		name = cmp.Or(getenv("DOCKER_CONTEXT"), current)
	}
	if name == "" || name == defaultContext {
		return dockerContext{name: defaultContext}, nil
	}
	return readContext(filepath.Join(dir, "contexts"), name)
}

// currentContext reads the context that `docker context use` chose.
func currentContext(path string) (string, error) {
	var config struct {
		CurrentContext string `json:"currentContext"`
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err == nil {
		err = json.Unmarshal(text, &config)
	}
	if err != nil {
		return "", &engine.EnvironmentError{What: fmt.Sprintf("the configuration of docker in %q cannot be read", path), Err: err, Do: "correct it, or name an engine with --engine"}
	}
	return config.CurrentContext, nil
}

// readContext reads a context of docker's store, where names are hashed.
func readContext(store, name string) (dockerContext, error) {
	id := digest.FromString(name).Encoded()
	var meta struct {
		Endpoints map[string]struct {
			Host string
		}
	}
	text, err := os.ReadFile(filepath.Join(store, "meta", id, "meta.json"))
	if err == nil {
		err = json.Unmarshal(text, &meta)
	}
	host := meta.Endpoints["docker"].Host
	if err == nil && host == "" {
		err = errors.New("it names no host")
	}
	if err != nil {
		return dockerContext{}, &engine.EnvironmentError{What: fmt.Sprintf("docker has no usable context %q", name), Err: err, Do: "see `docker context ls`"}
	}
	c := dockerContext{name: name, host: host, tls: filepath.Join(store, "tls", id, "docker")}
	if _, err := os.Stat(c.tls); err != nil {
		c.tls = ""
	}
	return c, nil
}

// client is a client of the daemon of the context.
func (c dockerContext) client() (*client.Client, error) {
	switch {
	case c.host == "":
		return client.New(client.FromEnv)
	case strings.HasPrefix(c.host, "ssh://"):
		return c.sshClient()
	}
	opts := []client.Opt{client.WithHost(c.host)}
	if c.tls != "" {
		opts = append(opts, client.WithTLSClientConfig(filepath.Join(c.tls, "ca.pem"), filepath.Join(c.tls, "cert.pem"), filepath.Join(c.tls, "key.pem")))
	}
	return client.New(opts...)
}
