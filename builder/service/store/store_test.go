package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/builder/service"
)

func fresh(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "a file?#.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *Store) must(t *testing.T, change func(*Tx) error) []service.Event {
	t.Helper()
	events, err := s.Update(t.Context(), change)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// fill adds builds: every tenth is queued, the others have ended, an hour apart.
func (s *Store) fill(t *testing.T, n int) {
	t.Helper()
	begin := Now().Add(-time.Duration(n) * time.Hour)
	s.must(t, func(tx *Tx) error {
		for i := range n {
			at := begin.Add(time.Duration(i) * time.Hour)
			b := service.Build{
				Recipe: fmt.Sprintf("r%d", i%100), Status: service.Queued, Client: fmt.Sprintf("c%d", i%7), Created: at,
				Tree: digest.FromString(fmt.Sprint(i)), Inputs: digest.FromString(fmt.Sprint(i)),
			}
			if err := tx.Insert(&b); err != nil {
				return err
			}
			if err := tx.Append(b.ID, service.Event{Time: at, Kind: service.StatusEvent, Data: []byte(`{"status":"queued"}`)}); err != nil {
				return err
			}
			if i%10 == 0 {
				continue
			}
			b.Status, b.Ended = service.Succeeded, &at
			b.Result = &builder.Result{Name: b.Recipe, Notes: []string{strings.Repeat("x", 2000)}}
			if err := tx.Save(b); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestList(t *testing.T) {
	s := fresh(t)
	s.fill(t, 10000)
	for _, c := range []struct {
		f     service.Filter
		n     int
		first int64
	}{
		{service.Filter{}, 50, 10000},
		{service.Filter{Limit: 9999}, 500, 10000},
		{service.Filter{Status: []service.Status{service.Queued}}, 50, 9991},
		{service.Filter{Status: []service.Status{service.Queued, service.Succeeded}, Before: 100}, 50, 99},
		{service.Filter{Status: []service.Status{service.Running}}, 0, 0},
		{service.Filter{Recipe: "r5", Client: "c1"}, 15, 9606},
	} {
		start := time.Now()
		list, err := s.List(t.Context(), c.f)
		t.Logf("%+v: %v", c.f, time.Since(start))
		if err != nil || len(list) < c.n-1 || len(list) > c.n || len(list) > 0 && list[0].ID != c.first {
			t.Errorf("%+v: %d, the first %+v, %v", c.f, len(list), list[:min(1, len(list))], err)
		}
	}
	start := time.Now()
	counts, err := s.Counts(t.Context())
	if err != nil || counts[service.Queued] != 1000 || counts[service.Succeeded] != 9000 {
		t.Errorf("%v, %v", counts, err)
	}
	t.Logf("counts: %v", time.Since(start))
	start = time.Now()
	newest, err := s.Newest(t.Context())
	if err != nil || len(newest) != 100 || newest["r99"].ID != 10000 {
		t.Errorf("%d, %v", len(newest), err)
	}
	t.Logf("newest: %v", time.Since(start))
	start = time.Now()
	s.must(t, func(tx *Tx) error {
		b, ok, err := tx.Next()
		if !ok || b.ID != 1 {
			t.Errorf("next is %d", b.ID)
		}
		return err
	})
	t.Logf("next: %v", time.Since(start))
	start = time.Now()
	again, err := Open(t.Context(), s.Path())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("open: %v", time.Since(start))
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

func TestEventsAndEnd(t *testing.T) {
	s := fresh(t)
	b := service.Build{Recipe: "a", Status: service.Queued, Created: Now()}
	e := service.Event{Time: Now(), Kind: service.NoticeEvent, Data: []byte(`{"text":"é"}`)}
	first := s.must(t, func(tx *Tx) error {
		return errors.Join(tx.Insert(&b), tx.Append(b.ID, e, e), tx.PutArtefact(b.ID, "lock", []byte("text")))
	})
	if _, err := s.Update(t.Context(), func(tx *Tx) error {
		return errors.Join(tx.Append(b.ID, e, e), errors.New("no"))
	}); err == nil {
		t.Error("a change that went wrong is told to be done")
	}
	b.Status = service.Failed
	second := s.must(t, func(tx *Tx) error { return errors.Join(tx.Append(b.ID, e), tx.Save(b)) })
	for name, change := range map[string]func(*Tx) error{
		"event":  func(tx *Tx) error { return tx.Append(b.ID, e) },
		"status": func(tx *Tx) error { return tx.Save(b) },
		"stage":  func(tx *Tx) error { return tx.Stage(b.ID, "push") },
	} {
		if _, err := s.Update(t.Context(), change); !errors.Is(err, ErrEnded) {
			t.Errorf("after the end, %s: %v", name, err)
		}
	}
	got, err := s.Events(t.Context(), b.ID, 0, 10)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(append(first, second...)) || len(got) != 3 || got[2].Seq != 3 {
		t.Errorf("%v, %v", got, err)
	}
	f, err := s.Artefact(t.Context(), b.ID, "lock")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(f); err != nil || string(text) != "text" {
		t.Errorf("%s, %v", text, err)
	}
	var missing *service.NotFoundError
	if _, err := s.Build(t.Context(), 99); !errors.As(err, &missing) {
		t.Errorf("a build that there is not: %v", err)
	}
}

func TestRetain(t *testing.T) {
	s := fresh(t)
	s.fill(t, 200) // 1 ended some 200 hours ago
	s.must(t, func(tx *Tx) error {
		b := service.Build{Recipe: "f", Status: service.Queued, SameAs: 12, Created: Now()}
		return tx.Insert(&b)
	})
	if err := s.Retain(t.Context(), Retention{Age: 100*time.Hour + time.Minute, LogAge: 50*time.Hour + time.Minute}, Now()); err != nil {
		t.Fatal(err)
	}
	counts, err := s.Counts(t.Context())
	if err != nil || counts[service.Queued] != 21 || counts[service.Succeeded] != 91 { // 90 and the one that is followed
		t.Errorf("%v, %v", counts, err)
	}
	for id, want := range map[int64]int{12: 1, 11: 1, 142: 0, 172: 1} { // followed, queued, old, young
		if e, err := s.Events(t.Context(), id, 0, 10); err != nil || len(e) != want {
			t.Errorf("build %d has %d events, %v", id, len(e), err)
		}
	}
	if err := s.Retain(t.Context(), Retention{Builds: 11}, Now()); err != nil {
		t.Fatal(err)
	}
	if counts, err = s.Counts(t.Context()); err != nil || counts[service.Queued] != 21 || counts[service.Succeeded] != 10 {
		t.Errorf("%v, %v", counts, err)
	}
	b := service.Build{Recipe: "next", Status: service.Queued}
	s.must(t, func(tx *Tx) error { return tx.Insert(&b) })
	if b.ID != 202 {
		t.Errorf("the next build is %d", b.ID)
	}
	if has, err := s.HasTree(t.Context(), digest.FromString("1")); err != nil || has {
		t.Errorf("a tree of no build: %v, %v", has, err)
	}
}

func TestUnusable(t *testing.T) {
	dir := t.TempDir()
	newer := filepath.Join(dir, "newer.db")
	s, err := Open(t.Context(), newer)
	if err != nil {
		t.Fatal(err)
	}
	s.fill(t, 300)
	if _, err := s.write.ExecContext(t.Context(), "PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(newer)
	if err != nil {
		t.Fatal(err)
	}
	copy(data[60:], []byte{0, 0, 0, 1}) // the version
	for i := 4096; i < len(data); i++ {
		data[i] = 0xaa
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{"text.db": {[]byte(strings.Repeat("no database ", 1000)), "is damaged"}, "torn.db": {data, "is damaged"}, "newer.db": {nil, "newer program"}} {
		path := filepath.Join(dir, name)
		if c.data != nil {
			if err := os.WriteFile(path, c.data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Open(context.Background(), path); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
