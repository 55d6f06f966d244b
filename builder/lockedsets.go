package builder

import (
	"encoding/json"
	"os"
	"path/filepath"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/recipes"
)

// LockedSets names the sets of a lock that a recipe uses.
func LockedSets(r *recipes.Recipe) []string {
	var names []string
	for _, w := range wants(r) {
		names = append(names, w.set)
	}
	if r.Base() != nil {
		names = append(names, baseSet(r))
	}
	return names
}

// FinishedSizes gives the compressed sizes of the images that a state directory
// knows, by "NAME VERSION" of the recipe. It only reads, so that it need not
// wait for a build; what is not there or not readable has no size.
func FinishedSizes(stateDir string) map[string]int64 {
	sizes := map[string]int64{}
	// A pattern error is a directory that has no such files.
	paths, _ := filepath.Glob(filepath.Join(stateDir, "cache", finishedKind+"*.json"))
	for _, path := range paths {
		var f Finished
		var m ocispec.Manifest
		if !readJSON(path, &f) || f.Desc.Digest.Validate() != nil ||
			!readJSON(filepath.Join(stateDir, "content", "blobs", f.Desc.Digest.Algorithm().String(), f.Desc.Digest.Encoded()), &m) {
			continue
		}
		size := f.Desc.Size + m.Config.Size
		for _, l := range m.Layers {
			size += l.Size
		}
		sizes[f.Name+" "+f.Version] = size
	}
	return sizes
}

func readJSON(path string, v any) bool {
	text, err := os.ReadFile(path)
	return err == nil && json.Unmarshal(text, v) == nil
}
