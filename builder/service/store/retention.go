package store

import (
	"context"
	"database/sql"
	"time"
)

// Retention says how long builds are kept after their end.
type Retention struct {
	Builds int           // the newest so many; 0: all
	Age    time.Duration // 0: for ever
	LogAge time.Duration // of events, and so of logs; 0: as long as the build
}

// batchSize is how many builds one transaction forgets, so that others may
// write in between.
const batchSize = 50

// following are builds that others still wait for.
const following = "SELECT same_as FROM builds WHERE same_as <> 0 AND status IN ('queued', 'running')"

// Retain forgets builds and events that are older than they are kept.
func (s *Store) Retain(ctx context.Context, r Retention, now time.Time) error {
	before := func(age time.Duration) int64 { return micros(now.Add(-age)) }
	if r.Builds > 0 {
		var last int64 // the newest that is one too many
		err := s.read.QueryRowContext(ctx, "SELECT coalesce((SELECT id FROM builds ORDER BY id DESC LIMIT 1 OFFSET ?), 0)", r.Builds).Scan(&last)
		if err != nil {
			return s.told(err)
		}
		if err := s.forget(ctx, "id <= ?", last); err != nil {
			return err
		}
	}
	if r.Age > 0 {
		if err := s.forget(ctx, "ended > 0 AND ended < ?", before(r.Age)); err != nil {
			return err
		}
	}
	if r.LogAge > 0 {
		if err := s.forgetLogs(ctx, before(r.LogAge)); err != nil {
			return err
		}
	}
	return s.tidy(ctx)
}

// forget deletes builds that have ended and that a condition chooses.
func (s *Store) forget(ctx context.Context, condition string, arg int64) error {
	return s.inBatches(ctx, "SELECT id FROM builds WHERE "+condition+" AND status NOT IN ('queued', 'running') AND id NOT IN ("+following+") LIMIT ?", arg,
		"DELETE FROM builds WHERE id = ?")
}

// forgetLogs deletes the events of builds that ended before a time.
func (s *Store) forgetLogs(ctx context.Context, before int64) error {
	return s.inBatches(ctx, "SELECT id FROM builds WHERE ended > 0 AND ended < ? AND logged = 1 AND id NOT IN ("+following+") LIMIT ?", before,
		"DELETE FROM events WHERE build = ?", "UPDATE builds SET logged = 0 WHERE id = ?")
}

// inBatches runs statements for every build that a query chooses.
func (s *Store) inBatches(ctx context.Context, query string, arg int64, statements ...string) error {
	for {
		n := 0
		_, err := s.Update(ctx, func(t *Tx) error {
			rows, err := t.tx.QueryContext(t.ctx, query, arg, batchSize)
			if err != nil {
				return err
			}
			ids, err := collect(rows, func(r *sql.Rows) (id int64, err error) { return id, r.Scan(&id) })
			if err != nil {
				return err
			}
			n = len(ids)
			for _, id := range ids {
				for _, statement := range statements {
					if err := t.exec(statement, id); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil || n < batchSize {
			return err
		}
	}
}

// tidy gives free pages back to the disk and forgets clients without builds.
func (s *Store) tidy(ctx context.Context) error {
	if _, err := s.write.ExecContext(ctx, "DELETE FROM clients WHERE client NOT IN (SELECT client FROM builds)"); err != nil {
		return s.told(err)
	}
	rows, err := s.write.QueryContext(ctx, "PRAGMA incremental_vacuum(4096)")
	if err != nil {
		return s.told(err)
	}
	_, err = collect(rows, func(*sql.Rows) (struct{}, error) { return struct{}{}, nil })
	return s.told(err)
}
