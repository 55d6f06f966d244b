package queue

import (
	"bytes"
	"iter"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/builder/service"
)

// maxPiece is the longest piece of log, in bytes; a longer line is cut.
const maxPiece = 64 << 10

// stream is one of the outputs of a step.
type stream struct {
	vertex digest.Digest
	number int
}

// lines joins what steps print to whole lines: the beginnings that wait for
// their ends.
type lines map[stream][]byte

// add takes what was printed and gives what is whole, in pieces of whole lines.
func (l lines) add(from stream, data []byte) []string {
	text := append(l[from], data...)
	var out []string
	for len(text) > 0 {
		end := 0
		if i := bytes.LastIndexByte(text[:min(len(text), maxPiece)], '\n'); i >= 0 {
			end = i + 1
		} else if len(text) >= maxPiece {
			end = cut(text)
		}
		if end == 0 {
			break
		}
		out = append(out, string(text[:end]))
		text = text[end:]
	}
	if len(text) == 0 {
		delete(l, from)
	} else {
		l[from] = bytes.Clone(text)
	}
	return out
}

// cut is where a line that is too long is cut: not in a character.
func cut(text []byte) int {
	for end := maxPiece; end > maxPiece-utf8.UTFMax; end-- {
		if end == len(text) || utf8.RuneStart(text[end]) {
			return end
		}
	}
	return maxPiece
}

// rest gives the lines that were never ended.
func (l lines) rest() iter.Seq2[stream, string] {
	return func(yield func(stream, string) bool) {
		order := slices.SortedFunc(maps.Keys(l), func(a, b stream) int {
			if a.vertex != b.vertex {
				return strings.Compare(string(a.vertex), string(b.vertex))
			}
			return a.number - b.number
		})
		for _, from := range order {
			text := string(l[from])
			delete(l, from)
			if !yield(from, text) {
				return
			}
		}
	}
}

// step is what is known of a vertex.
type step struct {
	started, completed, cached bool
	err                        string
}

// steps are the vertices of a build.
type steps map[digest.Digest]step

// change gives the state of a vertex if it is news. BuildKit tells the same
// several times, and starts a vertex again that was completed; once is enough.
func (s steps) change(v *client.Vertex) (service.VertexData, bool) {
	now := step{v.Started != nil, v.Completed != nil, v.Cached, v.Error}
	before, known := s[v.Digest]
	if known && (now == before || before.completed && !now.completed || before.started && !now.started) {
		return service.VertexData{}, false
	}
	s[v.Digest] = now
	return service.VertexData{
		Digest: v.Digest, Name: v.Name, Inputs: v.Inputs, Started: v.Started, Completed: v.Completed, Cached: v.Cached, Error: v.Error,
	}, true
}
