package check

import (
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
)

// remembered is a cache in memory.
type remembered struct{ m sync.Map }

func (r *remembered) Get(key string) ([]byte, bool) {
	v, ok := r.m.Load(key)
	if !ok {
		return nil, false
	}
	return v.([]byte), true
}
func (r *remembered) Put(key string, value []byte) { r.m.Store(key, value) }

func TestKnownISA(t *testing.T) {
	cache := &remembered{}
	keep := func(layer string, elf ...*ELF) digest.Digest {
		facts := &LayerFacts{Version: factsVersion}
		for _, e := range elf {
			facts.Entries = append(facts.Entries, Entry{ELF: e})
		}
		facts.Entries = append(facts.Entries, Entry{})
		keepFacts(cache, layer, facts)
		return digest.Digest(layer)
	}
	c := keep("sha256:c", &ELF{Arch: "rv64i2p1_m2p0_a2p1_f2p2_d2p2_c2p0_zicsr2p0_zifencei2p0"})
	vector := keep("sha256:v", &ELF{Arch: "rv64gcv"}, &ELF{})
	goProgram := keep("sha256:g", &ELF{GoISA: "rva20u64"})
	data := keep("sha256:d")
	for _, one := range []struct {
		layers []digest.Digest
		want   string
	}{
		{[]digest.Digest{c, data}, "rv64gc"},
		{[]digest.Digest{c, vector}, "rv64gcv"},
		{[]digest.Digest{data}, ""},
		{[]digest.Digest{c, "sha256:unknown"}, ""},
		{nil, ""},
	} {
		if got := KnownISA(one.layers, cache); got != one.want {
			t.Errorf("%v: got %q, want %q", one.layers, got, one.want)
		}
	}
	if KnownISA([]digest.Digest{goProgram}, cache) == "" {
		t.Error("nothing is known of a Go program")
	}
}
