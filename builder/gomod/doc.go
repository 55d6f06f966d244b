// Package gomod fetches Go modules and Go tool chains without a go command: it
// finds out which modules a main module's build needs, where module proxies
// are, and whether what they give has the checksums of go.sum or of the
// checksum database.
//
// It compiles nothing and knows neither recipes nor graphs. What it reads and
// speaks is specified in the Go Modules Reference (https://go.dev/ref/mod).
package gomod
