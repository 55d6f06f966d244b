//go:build !(linux && riscv64)

package host

func probeExtensions() []string { return nil }
