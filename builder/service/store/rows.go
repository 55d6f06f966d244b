package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/builder/service"
)

// querier is a pool or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// selectBuild reads builds in the order that scanBuild wants.
const selectBuild = `SELECT id, recipe, version, status, client, cause, tree, inputs, same_as, retry_of,
	attempt, created, started, ended, exit, stage, error, origin, options, result FROM builds `

func scanBuild(row interface{ Scan(...any) error }) (service.Build, error) {
	var b service.Build
	var created, started, ended int64
	var tree, inputs, origin, options, result string
	err := row.Scan(&b.ID, &b.Recipe, &b.Version, &b.Status, &b.Client, &b.Cause, &tree, &inputs, &b.SameAs, &b.RetryOf,
		&b.Attempt, &created, &started, &ended, &b.Exit, &b.Stage, &b.Error, &origin, &options, &result)
	if err != nil {
		return b, err
	}
	b.Tree, b.Inputs = digest.Digest(tree), digest.Digest(inputs)
	b.Started, b.Ended = timeOf(started), timeOf(ended)
	if t := timeOf(created); t != nil {
		b.Created = *t
	}
	err = errors.Join(json.Unmarshal([]byte(origin), &b.Origin), json.Unmarshal([]byte(options), &b.Options))
	if result != "" {
		err = errors.Join(err, json.Unmarshal([]byte(result), &b.Result))
	}
	if err != nil {
		err = fmt.Errorf("reading build %d: %w", b.ID, err)
	}
	return b, err
}

// oneBuild reads a build by its id.
func oneBuild(ctx context.Context, q querier, id int64) (service.Build, error) {
	b, err := scanBuild(q.QueryRowContext(ctx, selectBuild+"WHERE id = ?", id))
	if errors.Is(err, sql.ErrNoRows) {
		return b, &service.NotFoundError{What: fmt.Sprintf("build %d", id)}
	}
	return b, err
}

// manyBuilds reads what a condition chooses.
func manyBuilds(ctx context.Context, q querier, where string, args ...any) ([]service.Build, error) {
	rows, err := q.QueryContext(ctx, selectBuild+where, args...)
	if err != nil {
		return nil, err
	}
	return collect(rows, func(r *sql.Rows) (service.Build, error) { return scanBuild(r) })
}

// collect reads all rows and closes them.
func collect[T any](rows *sql.Rows, scan func(*sql.Rows) (T, error)) ([]T, error) {
	defer rows.Close()
	out := []T{}
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}
