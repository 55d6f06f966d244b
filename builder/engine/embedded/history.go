//go:build linux

package embedded

import (
	"runtime"
	"sync/atomic"

	"github.com/moby/buildkit/util/db"
	bolt "go.etcd.io/bbolt"
)

// historyDB is the solver's database of builds. BuildKit looks into it every
// two minutes as long as the program runs, closed or not, and thereby keeps all
// of an engine that was closed in memory. A service opens and closes engines for
// months: here that loop ends when it looks into a closed database, which
// nothing else does.
type historyDB struct {
	db.DB
	closed atomic.Bool
}

// View reads.
func (h *historyDB) View(f func(*bolt.Tx) error) error {
	if h.closed.Load() {
		runtime.Goexit()
	}
	return h.DB.View(f)
}

// Close closes the database.
func (h *historyDB) Close() error {
	h.closed.Store(true)
	return h.DB.Close()
}
