package store

import (
	"bytes"
	"compress/gzip"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/builder/service"
)

// Bounds of a list of builds.
const (
	defaultLimit = 50
	maxLimit     = 500
)

// pageBytes is how much data of events is read at once.
const pageBytes = 128 << 10

// Build reads a build; a NotFoundError says that there is none.
func (s *Store) Build(ctx context.Context, id int64) (service.Build, error) {
	b, err := oneBuild(ctx, s.read, id)
	return b, s.told(err)
}

// List reads the builds that a filter chooses, newest first.
func (s *Store) List(ctx context.Context, f service.Filter) ([]service.Build, error) {
	var where []string
	var args []any
	if len(f.Status) > 0 {
		where = append(where, "status IN (?"+strings.Repeat(", ?", len(f.Status)-1)+")")
		for _, status := range f.Status {
			args = append(args, string(status))
		}
	}
	for _, x := range []struct {
		condition string
		value     any
		given     bool
	}{{"recipe = ?", f.Recipe, f.Recipe != ""}, {"client = ?", f.Client, f.Client != ""}, {"id < ?", f.Before, f.Before > 0}} {
		if x.given {
			where, args = append(where, x.condition), append(args, x.value)
		}
	}
	if len(where) == 0 {
		where = append(where, "1")
	}
	limit := f.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	// The numbers first, which indexes know: sorting whole builds is slow.
	query := "WHERE id IN (SELECT id FROM builds WHERE " + strings.Join(where, " AND ") + " ORDER BY id DESC LIMIT ?) ORDER BY id DESC"
	list, err := manyBuilds(ctx, s.read, query, append(args, min(limit, maxLimit))...)
	return list, s.told(err)
}

// Newest reads the newest build of each recipe, by its name.
func (s *Store) Newest(ctx context.Context) (map[string]service.Build, error) {
	list, err := manyBuilds(ctx, s.read, "WHERE id IN (SELECT max(id) FROM builds GROUP BY recipe)")
	if err != nil {
		return nil, s.told(err)
	}
	out := make(map[string]service.Build, len(list))
	for _, b := range list {
		out[b.Recipe] = b
	}
	return out, nil
}

// Counts tells how many builds there are of each status.
func (s *Store) Counts(ctx context.Context) (map[service.Status]int, error) {
	out := map[service.Status]int{}
	for _, status := range service.Statuses {
		out[status] = 0
	}
	rows, err := s.read.QueryContext(ctx, "SELECT status, count(*) FROM builds GROUP BY status")
	if err != nil {
		return nil, s.told(err)
	}
	_, err = collect(rows, func(r *sql.Rows) (int, error) {
		var status service.Status
		var n int
		err := r.Scan(&status, &n)
		out[status] = n
		return n, err
	})
	return out, s.told(err)
}

// HasTree tells whether a build is of a tree.
func (s *Store) HasTree(ctx context.Context, tree digest.Digest) (bool, error) {
	var has bool
	err := s.read.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM builds WHERE tree = ? AND tree <> '')", tree.String()).Scan(&has)
	return has, s.told(err)
}

// Events reads up to limit events of a build after one; fewer, but one at
// least, where they are large.
func (s *Store) Events(ctx context.Context, build, after int64, limit int) ([]service.Event, error) {
	rows, err := s.read.QueryContext(ctx, "SELECT seq, time, kind, data FROM events WHERE build = ? AND seq > ? ORDER BY seq LIMIT ?", build, after, limit)
	if err != nil {
		return nil, s.told(err)
	}
	defer rows.Close()
	list := []service.Event{}
	for bytes := 0; bytes < pageBytes && rows.Next(); {
		e := service.Event{Build: build}
		var at int64
		var data []byte
		if err := rows.Scan(&e.Seq, &at, &e.Kind, &data); err != nil {
			return nil, s.told(err)
		}
		e.Time, e.Data = time.UnixMicro(at).UTC(), data
		list = append(list, e)
		bytes += len(data)
	}
	return list, s.told(rows.Err())
}

// Artefact reads what PutArtefact kept. A NotFoundError says that there is none.
func (s *Store) Artefact(ctx context.Context, build int64, name string) (io.ReadCloser, error) {
	var data []byte
	err := s.read.QueryRowContext(ctx, "SELECT data FROM artefacts WHERE build = ? AND name = ?", build, name).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, &service.NotFoundError{What: fmt.Sprintf("the artefact %q of build %d", name, build)}
	}
	if err != nil {
		return nil, s.told(err)
	}
	return gzip.NewReader(bytes.NewReader(data))
}

// Schedules reads all schedules, by name.
func (s *Store) Schedules(ctx context.Context) ([]service.Schedule, error) {
	rows, err := s.read.QueryContext(ctx, "SELECT data FROM schedules ORDER BY name")
	if err != nil {
		return nil, s.told(err)
	}
	list, err := collect(rows, func(r *sql.Rows) (service.Schedule, error) {
		var data []byte
		var out service.Schedule
		if err := r.Scan(&data); err != nil {
			return out, err
		}
		return out, json.Unmarshal(data, &out)
	})
	return list, s.told(err)
}

// outdatedName is the row of meta with the last report about newer versions.
const outdatedName = "outdated"

// Outdated reads the last report about newer versions; empty if there is none.
func (s *Store) Outdated(ctx context.Context) (service.OutdatedReport, error) {
	var out service.OutdatedReport
	var data []byte
	err := s.read.QueryRowContext(ctx, "SELECT data FROM meta WHERE name = ?", outdatedName).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return out, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	return out, s.told(err)
}
