package check

import (
	"encoding/json"
	"fmt"
)

// factsVersion is raised whenever ScanLayer starts to see more or different
// things, so that facts kept by an older program are not used.
const factsVersion = 1

// Type is the kind of a layer's entry.
type Type string

// The kinds of entries. A whiteout removes Path from the layers below, an
// opaque entry all that they have in the directory Path (OCI image-spec,
// layer.md, "Whiteouts").
const (
	TypeFile     Type = "file"
	TypeDir      Type = "dir"
	TypeSymlink  Type = "symlink"
	TypeHardlink Type = "hardlink"
	TypeDevice   Type = "device"
	TypeFifo     Type = "fifo"
	TypeWhiteout Type = "whiteout"
	TypeOpaque   Type = "opaque"
)

// LayerFacts is what the check knows of one layer. It depends on the layer's
// bytes only and survives JSON.
type LayerFacts struct {
	Version int     `json:"version"`
	DiffID  string  `json:"diff_id"` // digest of the uncompressed tar
	Entries []Entry `json:"entries"` // in the order of the tar
}

// Entry is one entry of a layer's tar.
type Entry struct {
	Path    string `json:"path"` // absolute and clean
	Type    Type   `json:"type"`
	Mode    int64  `json:"mode,omitempty"` // permission bits with setuid (04000), setgid (02000) and sticky (01000)
	UID     int    `json:"uid,omitempty"`
	GID     int    `json:"gid,omitempty"`
	Size    int64  `json:"size,omitempty"` // bytes
	Link    string `json:"link,omitempty"` // target as written; of a hard link an absolute path
	Caps    bool   `json:"caps,omitempty"` // has file capabilities (security.capability)
	Index   int    `json:"index"`          // ordinal in the tar
	Script  string `json:"script,omitempty"`
	ELF     *ELF   `json:"elf,omitempty"`
	Content []byte `json:"content,omitempty"` // of the few small files that Judge reads, e.g. /etc/ld.so.cache
}

// ELF is what matters of an ELF file, or of an archive (.a) of ELF files.
// Everything after Flags is read of 64-bit little-endian RISC-V files only.
type ELF struct {
	Machine uint16 `json:"machine"` // e_machine
	Class   byte   `json:"class"`   // EI_CLASS: 1 is 32-bit, 2 is 64-bit
	Data    byte   `json:"data"`    // EI_DATA: 1 is little endian, 2 is big endian
	Type    uint16 `json:"type"`    // e_type
	Flags   uint32 `json:"flags,omitempty"`
	Member  string `json:"member,omitempty"` // of an archive: the member these facts are of
	Debug   bool   `json:"debug,omitempty"`  // detached debug information, holds no code
	Broken  string `json:"broken,omitempty"` // what could not be read, and why

	Arch    string        `json:"arch,omitempty"`     // Tag_RISCV_arch
	Go      string        `json:"go,omitempty"`       // Go release that linked it
	GoISA   string        `json:"go_isa,omitempty"`   // GORISCV64 of its build information
	Interp  string        `json:"interp,omitempty"`   // PT_INTERP
	Soname  string        `json:"soname,omitempty"`   // DT_SONAME
	Needed  []string      `json:"needed,omitempty"`   // DT_NEEDED
	Rpath   []string      `json:"rpath,omitempty"`    // DT_RPATH, unexpanded
	Runpath []string      `json:"runpath,omitempty"`  // DT_RUNPATH, unexpanded
	Wants   []VersionNeed `json:"wants,omitempty"`    // symbol versions it wants
	Has     []string      `json:"versions,omitempty"` // symbol versions it defines
}

// VersionNeed is the symbol versions wanted of one library.
type VersionNeed struct {
	File     string   `json:"file"` // soname
	Versions []string `json:"versions"`
}

// Cache keeps values by key between runs. A miss is never an error. Layers are
// scanned side by side, so it must be safe for concurrent use.
type Cache interface {
	Get(key string) ([]byte, bool)
	Put(key string, value []byte)
}

func layerKey(digest string) string {
	return fmt.Sprintf("check-layer-v%d-%s", factsVersion, digest)
}

func cachedFacts(cache Cache, digest string) (*LayerFacts, bool) {
	if cache == nil {
		return nil, false
	}
	raw, ok := cache.Get(layerKey(digest))
	if !ok {
		return nil, false
	}
	var facts LayerFacts
	if json.Unmarshal(raw, &facts) != nil || facts.Version != factsVersion {
		return nil, false
	}
	return &facts, true
}

func keepFacts(cache Cache, digest string, facts *LayerFacts) {
	if cache == nil {
		return
	}
	if raw, err := json.Marshal(facts); err == nil {
		cache.Put(layerKey(digest), raw)
	}
}
