package clients

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/aymanbagabas/go-udiff"
)

// Backup names the copy of a file as it was before Write; "" for a file that
// was not there.
type Backup struct{ Path, Backup string }

// Write puts the changed files in place, certificates first: each is written
// aside, synchronised and renamed, with the owner of the file before. What was
// there is kept beside it as FILE.riscv-build-YYYYMMDDTHHMMSS~ (UTC). An error
// is an *AccessError that names what was written until then.
func (p *Plan) Write(now time.Time) ([]Backup, error) {
	var done []Backup
	for _, f := range p.Files {
		if !f.Changed() {
			continue
		}
		backup, err := p.tree.write(f, now)
		if err != nil {
			failed := &AccessError{Op: "writing", Path: f.Path, Err: err}
			for _, d := range done {
				failed.Done = append(failed.Done, d.Path)
			}
			return done, failed
		}
		done = append(done, Backup{f.Path, backup})
	}
	return done, nil
}

func (t tree) write(f *File, now time.Time) (backup string, err error) {
	err = t.onRoot(f.Path, func(root *os.Root, rel string) error {
		if err := root.MkdirAll(filepath.Dir(rel), 0o755); err != nil {
			return err
		}
		old, err := root.Stat(rel)
		if err != nil && !missing(err) {
			return err
		}
		if old != nil {
			if err := unchanged(root, rel, f.Old); err != nil {
				return err
			}
			suffix, err := f.backUp(root, rel, attributes{old.Mode().Perm(), old}, now)
			if err != nil {
				return fmt.Errorf("backing it up: %w", err)
			}
			backup = f.Path + suffix
		}
		aside := rel + ".riscv-build-" + rand.Text() + ".new"
		err = create(root, aside, f.New, attributes{f.Mode, old})
		if err == nil {
			err = root.Rename(aside, rel)
		}
		if err != nil {
			_ = root.Remove(aside)
			return err
		}
		return syncDir(root, filepath.Dir(rel))
	})
	return backup, err
}

// unchanged holds that a file is as it was when the plan was made.
func unchanged(root *os.Root, name string, old []byte) error {
	text, err := root.ReadFile(name)
	if err == nil && !bytes.Equal(text, old) {
		err = errors.New("another program has changed it in the meantime")
	}
	return err
}

// backUp writes the old content beside a file, and gives what was added to its
// name. A second backup of the same second has a number.
func (f *File) backUp(root *os.Root, name string, as attributes, now time.Time) (suffix string, err error) {
	stamp := ".riscv-build-" + now.UTC().Format("20060102T150405")
	for n := 1; n < 100; n++ {
		suffix = stamp + "~"
		if n > 1 {
			suffix = fmt.Sprintf("%s.%d~", stamp, n)
		}
		if err = create(root, name+suffix, f.Old, as); !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	return suffix, err
}

// attributes are what a file gets: the mode, and the owner of another, if any.
type attributes struct {
	mode  fs.FileMode
	owner fs.FileInfo
}

// create writes a file that must not exist. Its content is nobody else's
// before the mode says so.
func create(root *os.Root, name string, text []byte, as attributes) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if as.owner != nil {
		err = giveTo(f, as.owner)
	}
	if err == nil {
		err = f.Chmod(as.mode)
	}
	if err == nil {
		_, err = f.Write(text)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// giveTo changes the owner where it is another.
func giveTo(f *os.File, like fs.FileInfo) error {
	own, err := f.Stat()
	if err != nil {
		return err
	}
	want, ok := like.Sys().(*syscall.Stat_t)
	have, ok2 := own.Sys().(*syscall.Stat_t)
	if !ok || !ok2 || want.Uid == have.Uid && want.Gid == have.Gid {
		return nil
	}
	return f.Chown(int(want.Uid), int(want.Gid))
}

func syncDir(root *os.Root, name string) error {
	dir, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Shown is the new content for people to read: without passwords.
func (f *File) Shown() string { return redact(string(f.New)) }

// Diff is the unified difference between the old and the new content, without
// passwords; "" if there is none, or no old file.
func (f *File) Diff() string {
	if !f.Exists() {
		return ""
	}
	// Passwords are taken out first, so that no line beside a change has one;
	// where only a password differs, that is told.
	diff := udiff.Unified(f.Path, f.Path, redact(string(f.Old)), redact(string(f.New)))
	if diff == "" && string(f.Old) != string(f.New) {
		return fmt.Sprintf("--- %s\n+++ %s\n (another password)\n", f.Path, f.Path)
	}
	return diff
}

var secret = regexp.MustCompile(`(?m)((?:\b|")(?:password|auth|token|identity_token|identitytoken|authorization)["']?[ \t]*[:=][ \t]*)([^\s{&*|>#].*)$`)

// redact takes out what follows the keys of accounts on their lines.
func redact(text string) string {
	return secret.ReplaceAllStringFunc(text, func(line string) string {
		m := secret.FindStringSubmatch(line)
		rest := ""
		if strings.HasSuffix(m[2], "}") {
			rest = " }"
		}
		return m[1] + "********" + rest
	})
}
