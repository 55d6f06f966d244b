package batch

import (
	"encoding/json"
	"os"
	"path/filepath"
)

// How long recipes took is kept between runs: what takes longest is begun first.
func secondsPath(stateDir string) string { return filepath.Join(stateDir, "batch", "seconds.json") }

// loadSeconds gives seconds by name; without a file, or with a damaged one, none.
func loadSeconds(stateDir string) map[string]float64 {
	took := map[string]float64{}
	text, err := os.ReadFile(secondsPath(stateDir))
	if err == nil && json.Unmarshal(text, &took) != nil {
		return map[string]float64{}
	}
	return took
}

// saveSeconds keeps what those took that were made anew. Losing it costs an
// order that is less good, so that an error is no reason to fail.
func saveSeconds(stateDir string, entries []Entry) {
	took := loadSeconds(stateDir)
	changed := false
	for _, e := range entries {
		if e.Outcome == Built && !e.Cached {
			took[e.Name], changed = e.Seconds, true
		}
	}
	text, err := json.MarshalIndent(took, "", " ")
	if err != nil || !changed {
		return
	}
	path := secondsPath(stateDir)
	aside := path + ".new"
	if os.WriteFile(aside, append(text, '\n'), 0o644) != nil || os.Rename(aside, path) != nil {
		os.Remove(aside)
	}
}
