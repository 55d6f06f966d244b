// Package clients knows what the clients of a registry (docker, containerd,
// K3s, podman, BuildKit, nerdctl) must have in their configuration to push to
// it and pull from it: which files, with which content, and what is to be
// restarted.
//
// New works out the files: it reads what is below a root directory and changes
// nothing. What is there is kept, with its comments, its order and, but for a
// few YAML files, its formatting; only the settings of the registry itself are
// replaced. Plan.Write puts the files in place. The package speaks with no
// registry and runs no program.
//
// Each client's file, as its own documentation describes it:
//
//   - docker: daemon.json (docs.docker.com/reference/cli/dockerd) and certs.d
//   - containerd, nerdctl: hosts.toml (containerd docs/hosts.md), config.toml
//     (docs/cri/registry.md), nerdctl.toml (nerdctl docs/config.md)
//   - K3s: registries.yaml (docs.k3s.io/installation/private-registry)
//   - podman: containers-registries.conf(5), containers-certs.d(5)
//   - BuildKit: buildkitd.toml (docs/buildkitd.toml.md)
package clients
