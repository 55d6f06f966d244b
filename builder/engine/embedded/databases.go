//go:build linux

package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
)

// brokenSuffix makes the name of the directory that a damaged root is moved to.
const brokenSuffix = ".broken"

// unusable tells why nothing of what lies in the root can be used, or nil.
func (e *Engine) unusable(crash crashKind) (why, err error) {
	root := e.opts.Root
	if why := damage(root, crash); why != nil {
		return why, nil
	}
	foreign, err := e.backend.foreign(root)
	if err != nil || foreign == "" {
		return nil, err
	}
	return errors.New(foreign), nil
}

// damage tells what is wrong with the engine's root, or nil. After a power
// loss the whole root counts as damaged: snapshots are not synced, so a
// database may well name files whose content never reached the disk, and a
// build from such a cache would be wrong without an error.
func damage(root string, crash crashKind) error {
	if crash == machineFailed {
		return errors.New("the machine went down during a build")
	}
	for _, pattern := range []string{"*.db", filepath.Join(workerGlob, "*.db")} {
		names, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := checkDatabase(name, crash != notCrashed); err != nil {
				return fmt.Errorf("database %q: %w", filepath.Base(name), err)
			}
		}
	}
	return nil
}

// checkDatabase opens a bolt database for reading. It compares the file's size
// with the size the database says it has; with all set it also visits every
// page, because a database that is opened for writing stops the process, not
// the call, where it meets a page that is no page.
func checkDatabase(path string, all bool) (err error) {
	// A page missing in the mapped file is a fault; here it becomes a panic and then an error.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("not readable: %v", r)
		}
	}()
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() == 0 {
		return errors.New("empty file")
	}
	// Nobody else has it open, which the root's lock sees to; the timeout turns a surprise into an error.
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: 5 * time.Second})
	if err != nil {
		return err
	}
	defer db.Close()
	return db.View(func(tx *bolt.Tx) error {
		if info.Size() < tx.Size() {
			return fmt.Errorf("%d bytes, where it has pages for %d", info.Size(), tx.Size())
		}
		if !all {
			return nil
		}
		return tx.ForEach(func(_ []byte, b *bolt.Bucket) error { return visit(b) })
	})
}

func visit(b *bolt.Bucket) error {
	var last byte
	return b.ForEach(func(k, v []byte) error {
		if v == nil {
			nested := b.Bucket(k)
			if nested == nil {
				return fmt.Errorf("bucket %q is missing", k)
			}
			return visit(nested)
		}
		// Touching both ends of a value is what finds its pages missing.
		if len(v) > 0 {
			last ^= v[0] ^ v[len(v)-1]
		}
		return nil
	})
}

// setAside moves a damaged root away, in the place of one moved away before.
func setAside(root string) error {
	broken := root + brokenSuffix
	if err := os.RemoveAll(broken); err != nil {
		return fmt.Errorf("removing the damaged cache %q of an earlier start: %w: remove it by hand", broken, err)
	}
	if err := os.Rename(root, broken); err != nil {
		return fmt.Errorf("setting the damaged cache %q aside: %w: remove it by hand", root, err)
	}
	trimBroken(root)
	return nil
}

// trimBroken keeps of a root that was set aside only its databases, which a
// report needs; the rest is large. It is tried again at every start.
func trimBroken(root string) {
	for _, pattern := range []string{"snapshots", "content", executorDir, cacheMounts} {
		names, _ := filepath.Glob(filepath.Join(root+brokenSuffix, workerGlob, pattern)) // the pattern is well-formed
		for _, name := range names {
			_ = os.RemoveAll(name) // space only; the next start tries again
		}
	}
}
