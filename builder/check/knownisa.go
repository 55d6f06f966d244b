package check

import (
	"cmp"

	"github.com/opencontainers/go-digest"
)

// KnownISA is what a machine must have to run all that some layers hold, in
// short form, as far as it can be said from the cache alone: "" if a layer is
// not in it, or none holds a program for riscv64 that says what it needs. A
// library that chooses at run time counts with what it always needs.
func KnownISA(layers []digest.Digest, cache Cache) string {
	needed := isa{}
	for _, l := range layers {
		facts, ok := cachedFacts(cache, l.String())
		if !ok {
			return ""
		}
		for _, f := range facts.Entries {
			if f.ELF == nil {
				continue
			}
			text := cmp.Or(f.ELF.Arch, f.ELF.GoISA)
			if set, err := parseISA(text); text != "" && err == nil {
				needed = needed.with(set)
			}
		}
	}
	if len(needed) == 0 {
		return ""
	}
	return needed.String()
}
