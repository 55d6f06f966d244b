package remote

import (
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

// Discover finds engines that a user of this machine may have without having
// said so, the likelier first: Docker's current context, builders of buildx
// that run in it, the sockets of BuildKit, Colima and Lima, the other contexts
// of Docker. Whether they can be used shows when they are opened.
func Discover(ctx context.Context, getenv func(string) string) []Address {
	var found []string
	current, err := findDockerContext("", getenv)
	if err == nil && current.present() {
		found = append(found, "docker://")
		found = append(found, current.builders(ctx)...)
	}
	home := getenv("HOME")
	for _, pattern := range []string{DefaultSocket, filepath.Join(home, ".colima/*/buildkitd.sock"), filepath.Join(home, ".lima/*/sock/buildkitd.sock")} {
		sockets, _ := filepath.Glob(pattern) // the patterns are well-formed
		for _, s := range sockets {
			found = append(found, "unix://"+s)
		}
	}
	for _, name := range dockerContexts(getenv) {
		if name != current.name {
			found = append(found, "docker://"+name)
		}
	}
	var all []Address
	for _, text := range found {
		if a, err := ParseAddress(text); err == nil { // a name that is none in a URL is left out
			all = append(all, a)
		}
	}
	return all
}

// present tells whether there is something where the context says.
func (c dockerContext) present() bool {
	socket, local := strings.CutPrefix(c.host, "unix://")
	if c.host == "" && os.Getenv("DOCKER_HOST") == "" {
		socket, local = strings.CutPrefix(client.DefaultDockerHost, "unix://")
	}
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

// dockerContexts are the names of the contexts of docker's store.
func dockerContexts(getenv func(string) string) []string {
	files, _ := filepath.Glob(filepath.Join(dockerDir(getenv), "contexts/meta/*/meta.json"))
	var names []string
	for _, file := range files {
		var meta struct{ Name string }
		text, err := os.ReadFile(file)
		if err == nil && json.Unmarshal(text, &meta) == nil && meta.Name != "" {
			names = append(names, meta.Name)
		}
	}
	slices.Sort(names)
	return names
}
