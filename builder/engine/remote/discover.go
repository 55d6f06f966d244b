package remote

import (
	"cmp"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/client"
)

// listTime is how long a Docker may take to list its containers.
const listTime = 5 * time.Second

// builderPrefix begins the names of the containers that buildx makes.
const builderPrefix = "buildx_buildkit_"

// sockets are where BuildKit and Docker listen in virtual machines of macOS that
// have their own place for it: patterns below the home directory, or below the
// directory that a variable names.
var sockets = []struct{ scheme, variable, home, pattern string }{
	{"unix", "COLIMA_HOME", ".colima", "*/buildkitd.sock"},
	{"unix", "", ".config/colima", "*/buildkitd.sock"},
	{"unix", "LIMA_HOME", ".lima", "*/sock/buildkitd.sock"},
	{"docker", "", ".docker", "run/docker.sock"}, // Docker Desktop
	{"docker", "COLIMA_HOME", ".colima", "*/docker.sock"},
	{"docker", "", ".config/colima", "*/docker.sock"},
	{"docker", "LIMA_HOME", ".lima", "*/sock/docker.sock"},
	{"docker", "", ".rd", "docker.sock"}, // Rancher Desktop
}

// Discover finds engines that a user of this machine may have without having
// said so, the likelier first: what BUILDKIT_HOST names, Docker's current
// context, builders of buildx that run in it, the sockets of BuildKit, Colima
// and Lima, the other contexts of Docker, and Dockers that no context names.
// Whether they can be used shows when they are opened.
func Discover(ctx context.Context, getenv func(string) string) []Address {
	var found []string
	if named := getenv("BUILDKIT_HOST"); named != "" {
		found = append(found, named)
	}
	current, err := findDockerContext("", getenv)
	if err == nil && current.present(getenv) {
		found = append(found, "docker://")
		found = append(found, current.builders(ctx)...)
	}
	if _, err := os.Stat(DefaultSocket); err == nil {
		found = append(found, "unix://"+DefaultSocket)
	}
	engines, dockers := machineSockets(getenv)
	found = append(found, engines...)
	known := []string{current.where(getenv)}
	for _, c := range dockerContexts(getenv) {
		if known = append(known, c.host); c.name != current.name {
			found = append(found, "docker://"+c.name)
		}
	}
	for _, host := range dockers {
		if !slices.Contains(known, host) {
			found = append(found, "docker://?host="+host)
		}
	}
	var all []Address
	for _, text := range found {
		a, err := ParseAddress(text)
		if err == nil && !slices.ContainsFunc(all, func(b Address) bool { return b.text == text }) { // a name that is none in a URL is left out
			all = append(all, a)
		}
	}
	return all
}

// machineSockets are the sockets there are: of BuildKits and of Dockers.
func machineSockets(getenv func(string) string) (engines, dockers []string) {
	for _, s := range sockets {
		dir := filepath.Join(getenv("HOME"), s.home)
		if s.variable != "" && getenv(s.variable) != "" {
			dir = getenv(s.variable)
		}
		files, _ := filepath.Glob(filepath.Join(dir, s.pattern)) // the patterns are well-formed
		for _, file := range files {
			if s.scheme == "unix" {
				engines = append(engines, "unix://"+file)
			} else {
				dockers = append(dockers, "unix://"+file)
			}
		}
	}
	return engines, dockers
}

// where is the host of a context, by the environment where it says none.
func (c dockerContext) where(getenv func(string) string) string {
	return cmp.Or(c.host, getenv("DOCKER_HOST"), client.DefaultDockerHost)
}

// present tells whether there is something where the context says.
func (c dockerContext) present(getenv func(string) string) bool {
	socket, local := strings.CutPrefix(c.where(getenv), "unix://")
	if !local {
		return true
	}
	_, err := os.Stat(socket)
	return err == nil
}

// builders are the running builders of buildx in a Docker.
func (c dockerContext) builders(ctx context.Context) []string {
	d, err := c.client()
	if err != nil {
		return nil
	}
	defer d.Close()
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	list, err := d.ContainerList(ctx, client.ContainerListOptions{})
	if err != nil {
		return nil // it says why when it is opened
	}
	var urls []string
	for _, container := range list.Items {
		for _, name := range container.Names {
			if name = strings.TrimPrefix(name, "/"); strings.HasPrefix(name, builderPrefix) {
				urls = append(urls, "docker-container://"+name)
			}
		}
	}
	slices.Sort(urls)
	return urls
}

// dockerContexts are the contexts of docker's store that can be read.
func dockerContexts(getenv func(string) string) []dockerContext {
	store := filepath.Join(dockerDir(getenv), "contexts")
	files, _ := filepath.Glob(filepath.Join(store, "meta/*/meta.json"))
	var all []dockerContext
	for _, file := range files {
		var meta struct{ Name string }
		text, err := os.ReadFile(file)
		if err != nil || json.Unmarshal(text, &meta) != nil || meta.Name == "" {
			continue
		}
		if c, err := readContext(store, meta.Name); err == nil {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b dockerContext) int { return strings.Compare(a.name, b.name) })
	return all
}
