// Package pusher moves OCI images between a content store and the places
// where they are pulled from: registries, OCI layouts on disk and archives
// that `docker load` reads.
//
// The registry protocol is oras.land/oras-go/v2: of the kept libraries it has
// the fewest dependencies (all of them already in the build), reads the docker
// configuration and runs its credential helpers without the docker code,
// caches tokens per scope, mounts blobs between repositories and refuses
// upload redirects that would carry credentials away. go-containerregistry
// wants its own image type, which would re-read what was checked; containerd's
// resolver wants its image store and has no credential helpers. What oras-go
// leaves to its caller is here: which registries are spoken to in plain HTTP,
// uploads that go on where they broke off, and errors that say what to do.
//
// The bytes that are pushed are the bytes that were checked: nothing is
// recompressed or rewritten. The package neither builds nor checks images.
package pusher
