// Package debian reads a Debian archive: it finds mirrors, verifies signed
// Release files and the indexes they name, resolves package requests to exact
// packages for the lock, and reads source packages.
//
// It does not download packages (builder/fetch does, through the URLs that
// Mirrors gives) and does not unpack them (builder/debian/rootfs does). It
// never uses an unsigned or mismatching file and runs no program of the host.
package debian
