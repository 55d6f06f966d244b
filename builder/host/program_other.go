//go:build !linux

package host

// ReleaseProgram does nothing: it is for boards.
func ReleaseProgram() error { return nil }
