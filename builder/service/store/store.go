// Package store keeps builds, their events and artefacts, and schedules in an
// SQLite database that outlives a crash and a loss of power. It knows what a
// build is, not when one runs: that is the queue's.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/riscv-build/riscv-build/builder/service"
)

// What the connections of readers are bounded by: each has a cache of its own.
const (
	maxReaders    = 4
	readerIdle    = time.Minute
	readerCacheKB = 512
	writerCacheKB = 2048
)

//go:embed migrations/*.sql
var migrations embed.FS

// Store is an open database. Its methods may be called concurrently.
type Store struct {
	path  string
	write *sql.DB // one connection: writers wait for each other here, not in the file
	read  *sql.DB
}

// Open opens the database file at path, or makes it, readable for its owner
// only, and brings its tables up to date.
func Open(ctx context.Context, path string) (*Store, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the database %q: %w: see that the service may write there", path, err)
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	s := &Store{path: path}
	if s.write, err = open(path, writerCacheKB, "immediate"); err != nil {
		return nil, err
	}
	s.write.SetMaxOpenConns(1)
	if err := s.migrate(ctx); err != nil {
		return nil, errors.Join(s.told(err), s.write.Close())
	}
	if s.read, err = open(path, readerCacheKB, "deferred"); err != nil {
		return nil, errors.Join(err, s.write.Close())
	}
	s.read.SetMaxOpenConns(maxReaders)
	s.read.SetMaxIdleConns(maxReaders)
	s.read.SetConnMaxIdleTime(readerIdle)
	if _, err := s.Counts(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// open makes a pool of connections. Nothing is lost with the power: every
// commit waits for the disk.
func open(path string, cacheKB int, lock string) (*sql.DB, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	q := url.Values{"_txlock": {lock}, "_pragma": {
		"busy_timeout(10000)", "auto_vacuum(incremental)", "journal_mode(wal)", "synchronous(full)",
		"foreign_keys(1)", fmt.Sprintf("cache_size(-%d)", cacheKB), "journal_size_limit(8388608)",
	}}
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(absolute), RawQuery: q.Encode()}
	return sql.Open("sqlite", u.String())
}

// Path is where the database file is.
func (s *Store) Path() string { return s.path }

// Close waits for queries that run and closes the database.
func (s *Store) Close() error { return errors.Join(s.read.Close(), s.write.Close()) }

// migrate runs the migrations that the database has not seen, each with the
// new version in one transaction.
func (s *Store) migrate(ctx context.Context) error {
	files, err := fs.Glob(migrations, "migrations/*.sql") // sorted
	if err != nil {
		return err
	}
	var have int
	if err := s.write.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
		return err
	}
	if have > len(files) {
		return fmt.Errorf("it is of version %d, and this program knows %d: use the newer program again, or move the file away to begin anew", have, len(files))
	}
	for i, name := range files[have:] {
		text, err := migrations.ReadFile(name)
		if err != nil {
			return err
		}
		tx, err := s.write.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		version := fmt.Sprintf(";\nPRAGMA user_version = %d", have+i+1)
		if _, err := tx.ExecContext(ctx, string(text)+version); err != nil {
			return errors.Join(fmt.Errorf("bringing it up to date with %s: %w", name, err), tx.Rollback())
		}
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	return nil
}

// told names the database in an error, and says what to do where that is known.
func (s *Store) told(err error) error {
	var missing *service.NotFoundError
	if err == nil || errors.As(err, &missing) || errors.Is(err, ErrEnded) {
		return err
	}
	err = fmt.Errorf("working with the database %q: %w", s.path, err)
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w: the file is damaged: put a copy of it back, or move it away, with the files that end in -wal and -shm, and start the service again: it begins without builds and schedules, images and caches stay", err)
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("%w: free some space on its disk", err)
	}
	return err
}

// micros is a time as the database keeps it.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func microsOf(t *time.Time) int64 {
	if t == nil {
		return 0
	}
	return micros(*t)
}

// Now is the time as the database keeps it: what is read later is the same.
func Now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

func timeOf(us int64) *time.Time {
	if us == 0 {
		return nil
	}
	t := time.UnixMicro(us).UTC()
	return &t
}
