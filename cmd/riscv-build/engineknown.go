package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/riscv-build/riscv-build/builder/engine"
	"github.com/riscv-build/riscv-build/builder/engine/remote"
)

// knownTime is for how long an engine that was asked what it is is taken to be
// the same: what did not change since is not worth a connection through ssh,
// which takes longer than all the rest.
const knownTime = time.Hour

// errEngineChanged says that an engine was not what it was taken for.
var errEngineChanged = errors.New("using an engine that is another one than an hour ago: start the build again")

// knownEngine remembers in the state directory what an engine is.
type knownEngine struct{ path string }

// knownEngineOf is the memory of an engine; false for one that is as quickly asked.
func (p *place) knownEngineOf(a remote.Address) (knownEngine, bool) {
	if kind := a.Kind(); kind == "unix" || kind == "tcp" || kind == "docker" {
		return knownEngine{}, false
	}
	parts := []string{a.String()}
	for _, variable := range []string{"DOCKER_HOST", "DOCKER_CONTEXT", "CONTAINER_HOST", "KUBECONFIG"} {
		parts = append(parts, os.Getenv(variable))
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return knownEngine{filepath.Join(p.stateDir, "cache", "engine-"+hex.EncodeToString(sum[:8])+".json")}, true
}

// info is what the engine was, if it was asked lately.
func (k knownEngine) info() (engine.Info, bool) {
	var info engine.Info
	written, err := os.Stat(k.path)
	if err != nil || time.Since(written.ModTime()).Abs() > knownTime {
		return info, false
	}
	text, err := os.ReadFile(k.path)
	return info, err == nil && json.Unmarshal(text, &info) == nil && info.Emulator != ""
}

// keep remembers. What cannot be written is asked again.
func (k knownEngine) keep(info engine.Info) {
	text, err := json.Marshal(info)
	if err != nil || os.MkdirAll(filepath.Dir(k.path), 0o755) != nil {
		return
	}
	aside := k.path + ".new"
	if os.WriteFile(aside, text, 0o644) == nil { // of a file that is cut off nothing is read
		_ = os.Rename(aside, k.path)
	}
}

// same tells whether plans that were made for one are good for the other.
func same(a, b engine.Info) bool {
	return a.Platform.Architecture == b.Platform.Architecture && a.Emulator == b.Emulator
}
