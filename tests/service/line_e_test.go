package service

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the driver of the service's database
)

// The limits of line E.
const (
	startLimit = time.Second
	idleMemory = 60 // MB
	wakeLimit  = 1  // voluntary context switches a second
)

// TestLineServiceE: a service with a long past is there at once, and costs next
// to nothing while nobody wants anything, before a build and after one.
func TestLineServiceE(t *testing.T) {
	d := startDaemon(t, daemonOptions{Flags: []string{"--keep-builds", "0", "--keep-logs", "0"}})
	first := d.submit(maker, uploaded(t, plain("past", "what was")))[0]
	d.succeed(first.ID, time.Minute)
	d.stop()
	d.multiply(first.ID, 10000)
	timing(t, "E, ready with 10,000 builds", d.start(), startLimit)
	if n := len(d.builds()); n < 10000 {
		t.Fatalf("the service has %d builds", n)
	}
	d.stop()
	d.start() // with nothing read yet
	d.idle("before a build", time.Duration(count(30, 3))*time.Second)
	b := d.submit(maker, uploaded(t, tool("after", [3]string{"runs", "echo it runs", "it runs\n"})))[0]
	d.succeed(b.ID, 5*time.Minute)
	d.idle("after a build", time.Duration(count(90, 35))*time.Second)
}

// multiply makes builds that are like one, with their events and artefacts, in
// the database of a service that does not run.
func (d *daemon) multiply(like int64, times int) {
	d.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(d.state, "service", "store.db"))
	if err != nil {
		d.t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	tx, err := db.Begin()
	if err != nil {
		d.t.Fatal(err)
	}
	for table, key := range map[string]string{"builds": "id", "events": "build", "artefacts": "build"} {
		var rest []string
		rows, err := tx.Query("SELECT name FROM pragma_table_info(?)", table)
		if err != nil {
			d.t.Fatal(err)
		}
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				d.t.Fatal(err)
			}
			if name != key {
				rest = append(rest, name)
			}
		}
		if err := rows.Close(); err != nil {
			d.t.Fatal(err)
		}
		if len(rest) == 0 {
			continue
		}
		columns := strings.Join(rest, ", ")
		query := fmt.Sprintf("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) INSERT INTO %s (%s, %s) SELECT n.i + %d, %s FROM n, %s WHERE %s = %d",
			times, table, key, columns, like, columns, table, key, like)
		if _, err := tx.Exec(query); err != nil {
			d.t.Fatalf("multiplying %s: %v", table, err)
		}
	}
	if err := tx.Commit(); err != nil {
		d.t.Fatal(err)
	}
}

// idle looks at a service that nobody asks for anything, after a while.
func (d *daemon) idle(when string, settle time.Duration) {
	d.t.Helper()
	d.client.CloseIdleConnections()
	time.Sleep(settle)
	rss := d.memory("VmRSS")
	figure(d.t, "E, idle memory "+when, fmt.Sprintf("%d MB", rss), fmt.Sprintf("%d MB", idleMemory), rss > 0 && rss <= idleMemory)
	span := time.Duration(count(60, 10)) * time.Second
	before := d.switches()
	time.Sleep(span)
	after := d.switches()
	total := 0
	var most []string
	for thread, n := range after {
		if woke := n - before[thread]; woke > 0 {
			total += woke
			most = append(most, fmt.Sprintf("%s: %d", thread, woke))
		}
	}
	per := float64(total) / span.Seconds()
	d.t.Logf("threads that woke: %s", strings.Join(most, ", "))
	figure(d.t, "E, voluntary context switches "+when, fmt.Sprintf("%.2f a second over %s", per, span), strconv.Itoa(wakeLimit), per <= wakeLimit && len(after) > 0)
}

// switches counts the voluntary context switches of each thread.
func (d *daemon) switches() map[string]int {
	counts := map[string]int{}
	dir := fmt.Sprintf("%d/task", d.cmd.Process.Pid)
	threads, err := os.ReadDir(filepath.Join("/proc", dir))
	if err != nil {
		d.t.Fatal(err)
	}
	for _, thread := range threads {
		counts[thread.Name()] = d.status(filepath.Join(dir, thread.Name()), "voluntary_ctxt_switches")
	}
	return counts
}
