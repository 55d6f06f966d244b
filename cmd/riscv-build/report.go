package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/pusher/imagestore"
)

// document is what --json prints: one a run, on failure too.
type document struct {
	Results any    `json:"results"`
	Error   string `json:"error,omitempty"` // of the run as a whole, where no result has it
}

// writeJSON writes one document. That the reader is gone is no error to report to it.
func writeJSON(w io.Writer, v any) {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	_ = e.Encode(v)
}

// wantsJSON looks for the flag where the command line could not be read.
func wantsJSON(args []string) bool {
	for _, a := range args {
		if a == "--" {
			return false
		}
		if flagName(a) == "json" && strings.HasPrefix(a, "-") && !strings.HasSuffix(a, "=false") {
			return true
		}
	}
	return false
}

// printResult is the result for people: what was built, how long each step
// took, where it was pushed.
func printResult(w io.Writer, r *builder.Result) {
	if r.Base != nil {
		printResult(w, r.Base)
	}
	if r.Outcome == builder.OutcomeUnchanged {
		fmt.Fprintf(w, "%s:%s %s unchanged (%s)\n", r.Name, r.Version, r.Digest, stages(r.Stages))
		for _, ref := range r.Tags {
			fmt.Fprintf(w, "  %s has it\n", ref)
		}
		return
	}
	var size int64
	for _, l := range r.Layers {
		size += l.Size
	}
	state := r.Mode
	if r.Cached {
		state += ", unchanged"
	}
	fmt.Fprintf(w, "%s:%s %s %s (%s; %s)\n", r.Name, r.Version, r.Digest, megabytes(size), state, stages(r.Stages))
	for _, t := range r.Tests {
		if !t.OK {
			fmt.Fprintf(w, "  test %q failed\n", t.Name)
		}
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "  note: %s\n", n)
	}
	for _, ref := range r.Tags {
		fmt.Fprintf(w, "  pushed %s\n", ref)
	}
	if r.Loaded != nil {
		printLoaded(w, *r.Loaded)
	}
}

// printLoaded says where an image was put on this machine.
func printLoaded(w io.Writer, l imagestore.Loaded) {
	for _, name := range l.Names {
		if l.Unchanged {
			fmt.Fprintf(w, "  %s is in %s already\n", name, l.Into)
			continue
		}
		fmt.Fprintf(w, "  loaded %s into %s\n", name, l.Into)
	}
}

// stages lists seconds by step, in order, without those that took no time.
func stages(seconds map[string]float64) string {
	var parts []string
	var sum float64
	for _, name := range builder.Stages {
		sum += seconds[name]
		if seconds[name] >= 0.05 {
			parts = append(parts, fmt.Sprintf("%s %.1f", name, seconds[name]))
		}
	}
	text := fmt.Sprintf("%.1f s", sum)
	if len(parts) > 0 {
		text += ": " + strings.Join(parts, ", ")
	}
	return text
}

func megabytes(n int64) string { return fmt.Sprintf("%.2f MB", float64(n)/1e6) }
