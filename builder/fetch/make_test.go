package fetch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// makes is a Maker of these bytes, which came over the network.
func makes(b []byte) Maker {
	return func(_ context.Context, w io.Writer, tell func(Event)) error {
		tell(Event{Done: int64(len(b))})
		_, err := w.Write(b)
		return err
	}
}

func TestMake(t *testing.T) {
	s := open(t, t.TempDir())
	blob := Blob{Name: "tree", Digest: dataDigest, Size: int64(len(data)), Make: makes(data)}
	var offline *OfflineError
	if _, err := s.Fetch(t.Context(), []Blob{blob}, Options{Offline: true}); !errors.As(err, &offline) || !strings.Contains(err.Error(), "tree") {
		t.Errorf("offline: %v", err)
	}
	for round, want := range []Stats{{Downloaded: int64(len(data)), Blobs: 1}, {Cached: 1}} {
		if stats, err := s.Fetch(t.Context(), []Blob{blob}, quick()); err != nil || stats != want {
			t.Errorf("round %d: %+v, %v", round, stats, err)
		}
	}
	if pruned, err := s.Prune(t.Context(), PruneOptions{}); err != nil || pruned.Blobs != 1 {
		t.Errorf("pruning: %+v, %v", pruned, err)
	}
	blob.Make = makes(flipped())
	_, err := s.Fetch(t.Context(), []Blob{blob}, quick())
	var changed *ChangedError
	if !errors.As(err, &changed) || changed.ExitCode() != 2 {
		t.Fatalf("other bytes than locked give %v", err)
	}
	for _, want := range []string{dataDigest.String(), digest.FromBytes(flipped()).String(), "lock --update"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in %v", want, err)
		}
	}
	if s.Has(t.Context(), dataDigest) {
		t.Error("other bytes are kept under the locked digest")
	}
}

// TestMakeFails holds that a Maker's error comes out as it is, that of a full
// disk as such, and that neither leaves anything.
func TestMakeFails(t *testing.T) {
	s := open(t, t.TempDir())
	reason := errors.New("no such commit")
	_, err := s.Make(t.Context(), "tree", func(_ context.Context, w io.Writer, _ func(Event)) error {
		_, _ = w.Write(data)
		return reason
	}, nil)
	if err != reason { //nolint:errorlint // as it is
		t.Errorf("a Maker's error comes out as %v", err)
	}
	s.content = fullDisk{s.content, 100 << 10}
	var space *SpaceError
	if _, err := s.Make(t.Context(), "tree", makes(bytes.Repeat(data, 4)), nil); !errors.As(err, &space) {
		t.Errorf("a full disk comes out as %v", err)
	}
	if usage, err := s.DU(t.Context(), nil); err != nil || len(usage) != 0 {
		t.Errorf("left behind: %v, %v", usage, err)
	}
}
