package store

import (
	"bytes"
	"compress/gzip"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/builder/service"
)

// ErrEnded says that a build has ended: it gets no events and no other status.
var ErrEnded = errors.New("the build has ended already")

// Tx is a change of the database: all of it happens, or nothing.
type Tx struct {
	ctx    context.Context
	tx     *sql.Tx
	events []service.Event
}

// Update runs a change and gives the events that it appended, for those who
// follow builds, after it has reached the disk.
func (s *Store) Update(ctx context.Context, change func(*Tx) error) ([]service.Event, error) {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return nil, s.told(err)
	}
	t := &Tx{ctx: ctx, tx: tx}
	if err := change(t); err != nil {
		return nil, errors.Join(s.told(err), tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return nil, s.told(err)
	}
	return t.events, nil
}

func (t *Tx) exec(query string, args ...any) error {
	_, err := t.tx.ExecContext(t.ctx, query, args...)
	return err
}

// Build reads a build; a NotFoundError says that there is none.
func (t *Tx) Build(id int64) (service.Build, error) { return oneBuild(t.ctx, t.tx, id) }

// Leader is the build that is queued or runs with the same inputs and follows
// no other; ok is false where there is none.
func (t *Tx) Leader(inputs digest.Digest) (b service.Build, ok bool, err error) {
	list, err := manyBuilds(t.ctx, t.tx, "WHERE inputs = ? AND status IN ('queued', 'running') AND same_as = 0 ORDER BY id LIMIT 1", inputs.String())
	if err != nil || len(list) == 0 {
		return b, false, err
	}
	return list[0], true, nil
}

// Followers are the builds that end with another one, the first first.
func (t *Tx) Followers(id int64) ([]service.Build, error) {
	return manyBuilds(t.ctx, t.tx, "WHERE same_as = ? AND status IN ('queued', 'running') ORDER BY id", id)
}

// Running are the builds with that status.
func (t *Tx) Running() ([]service.Build, error) {
	return manyBuilds(t.ctx, t.tx, "WHERE status = 'running' ORDER BY id")
}

// Next is the build whose turn it is: the first of the client that has waited
// longest since it was served. ok is false where none is queued.
func (t *Tx) Next() (b service.Build, ok bool, err error) {
	list, err := manyBuilds(t.ctx, t.tx, `WHERE id = (
		SELECT min(b.id) FROM builds b LEFT JOIN clients c ON c.client = b.client
		WHERE b.status = 'queued' AND b.same_as = 0
		GROUP BY b.client ORDER BY coalesce(max(c.turn), 0), min(b.id) LIMIT 1)`)
	if err != nil || len(list) == 0 {
		return b, false, err
	}
	return list[0], true, nil
}

// Served notes that it was a client's turn.
func (t *Tx) Served(client string) error {
	return t.exec("INSERT OR REPLACE INTO clients (client, turn) SELECT ?, coalesce(max(turn), 0) + 1 FROM clients", client)
}

// Queued counts the builds that are queued.
func (t *Tx) Queued() (n int, err error) {
	err = t.tx.QueryRowContext(t.ctx, "SELECT count(*) FROM builds WHERE status = 'queued'").Scan(&n)
	return n, err
}

// Insert adds a build and gives it its number.
func (t *Tx) Insert(b *service.Build) error {
	origin, err := json.Marshal(b.Origin)
	if err != nil {
		return err
	}
	options, err := json.Marshal(b.Options)
	if err != nil {
		return err
	}
	r, err := t.tx.ExecContext(t.ctx, `INSERT INTO builds (recipe, version, status, client, cause, tree, inputs, same_as, retry_of,
		attempt, created, started, ended, exit, stage, error, origin, options, result)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, '', '', ?, ?, '')`,
		b.Recipe, b.Version, string(b.Status), b.Client, b.Cause, b.Tree.String(), b.Inputs.String(), b.SameAs, b.RetryOf,
		b.Attempt, micros(b.Created), string(origin), string(options))
	if err != nil {
		return err
	}
	b.ID, err = r.LastInsertId()
	return err
}

// Save writes what changes of a build in its life. ErrEnded says that it has
// ended before.
func (t *Tx) Save(b service.Build) error {
	result := ""
	if b.Result != nil {
		text, err := json.Marshal(b.Result)
		if err != nil {
			return err
		}
		result = string(text)
	}
	r, err := t.tx.ExecContext(t.ctx, `UPDATE builds SET status = ?, stage = ?, same_as = ?, attempt = ?, started = ?, ended = ?,
		error = ?, exit = ?, result = ? WHERE id = ? AND status IN ('queued', 'running')`,
		string(b.Status), b.Stage, b.SameAs, b.Attempt, microsOf(b.Started), microsOf(b.Ended), b.Error, b.Exit, result, b.ID)
	return changedOne(r, err)
}

// Stage writes which stage a running build is in.
func (t *Tx) Stage(build int64, stage string) error {
	r, err := t.tx.ExecContext(t.ctx, "UPDATE builds SET stage = ? WHERE id = ? AND status IN ('queued', 'running')", stage, build)
	return changedOne(r, err)
}

// changedOne tells of a change of a build that has ended.
func changedOne(r sql.Result, err error) error {
	if err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return ErrEnded
}

// Append adds events to a build and numbers them. ErrEnded says that it has
// ended before.
func (t *Tx) Append(build int64, events ...service.Event) error {
	if len(events) == 0 {
		return nil
	}
	var last int64
	err := t.tx.QueryRowContext(t.ctx, "UPDATE builds SET events = events + ? WHERE id = ? AND status IN ('queued', 'running') RETURNING events",
		len(events), build).Scan(&last)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrEnded
	}
	if err != nil {
		return err
	}
	stmt, err := t.tx.PrepareContext(t.ctx, "INSERT INTO events (build, seq, time, kind, data) VALUES (?, ?, ?, ?, ?)")
	if err != nil {
		return err
	}
	defer stmt.Close()
	for i, e := range events {
		e.Build, e.Seq = build, last-int64(len(events)-1-i)
		if _, err := stmt.ExecContext(t.ctx, e.Build, e.Seq, micros(e.Time), e.Kind, string(e.Data)); err != nil {
			return err
		}
		t.events = append(t.events, e)
	}
	return nil
}

// PutArtefact keeps what a build leaves behind, compressed.
func (t *Tx) PutArtefact(build int64, name string, data []byte) error {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(data); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return t.exec("INSERT OR REPLACE INTO artefacts (build, name, data) VALUES (?, ?, ?)", build, name, out.Bytes())
}

// Schedule reads a schedule; a NotFoundError says that there is none.
func (t *Tx) Schedule(name string) (service.Schedule, error) {
	var out service.Schedule
	var data []byte
	err := t.tx.QueryRowContext(t.ctx, "SELECT data FROM schedules WHERE name = ?", name).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return out, &service.NotFoundError{What: fmt.Sprintf("the schedule %q", name)}
	}
	if err != nil {
		return out, err
	}
	return out, json.Unmarshal(data, &out)
}

// PutSchedule writes a schedule over the one of its name.
func (t *Tx) PutSchedule(s service.Schedule) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return t.exec("INSERT OR REPLACE INTO schedules (name, data) VALUES (?, ?)", s.Name, string(data))
}

// DeleteSchedule deletes a schedule.
func (t *Tx) DeleteSchedule(name string) error {
	return t.exec("DELETE FROM schedules WHERE name = ?", name)
}

// PutOutdated writes the report about newer versions over the last one.
func (t *Tx) PutOutdated(r service.OutdatedReport) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return t.exec("INSERT OR REPLACE INTO meta (name, data) VALUES (?, ?)", outdatedName, string(data))
}
