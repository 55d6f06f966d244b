// Package fetch keeps the content store of a state directory and fills it:
// every package, source file, layer and image lies there under its SHA-256.
//
// A blob enters the store whole or not at all. Downloads are written aside,
// verified, synced to the disk and then renamed; what a killed run or a broken
// connection left behind is taken up again where it ended. In offline mode
// nothing is downloaded and what is missing is listed.
//
// The package knows digests and addresses, not what the bytes mean: it is not
// the place for package indexes, image assembly or graphs, and it imports none
// of them. Whoever opens a store for writing holds the lock of the state
// directory.
package fetch
