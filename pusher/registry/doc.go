// Package registry is an OCI registry: storage in a directory, the protocol of
// the distribution specification 1.1 over it, garbage collection, and a cache
// of another registry.
//
// The protocol is cuelabs.dev/go/oci/ociregistry; the storage is this
// package's. The classic server, distribution, is a program of its own with
// its own configuration; its third version has no list of referrers and takes
// no SHA-512, both of which the specification has.
//
// What lies below the root directory:
//
//	blobs/ALGORITHM/XX/HEX                            bytes of blobs and manifests, XX the first two digits
//	repositories/NAME/_blobs/ALGORITHM/HEX            the repository has this blob; empty
//	repositories/NAME/_manifests/ALGORITHM/HEX        the repository has this manifest; its media type
//	repositories/NAME/_tags/TAG                       the digest that the tag names
//	repositories/NAME/_referrers/ALGORITHM/HEX/DIGEST a descriptor of a manifest whose subject is HEX
//	uploads/                                          what is being written
//	kind                                              a registry, or a cache of which
//	tls/                                              a CA of the registry's own, and what it signed
//	serve.lock, gc.lock, gc.turn, gc.run              held by processes that serve and collect
//
// A file outside uploads is whole: it is written there, flushed to the disk and
// renamed. So a process that is killed leaves nothing that would be served
// damaged, only uploads, which are continued or, after a day, removed.
//
// The package does not build images, and it is no client: that is package
// pusher, through which the cache asks the other registry.
package registry
