package batch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// Journal is what a batch has finished, a line for each recipe, so that a run
// that was interrupted or killed can be resumed. A line is on disk before the
// recipe counts as done; a line that a crash cut off counts as absent.
type Journal struct {
	path string
	mu   sync.Mutex
	file *os.File
	done map[string]Entry // by key
}

// journalLine is a line of the file. The key is a digest of all that a recipe
// was built from and where it was pushed to.
type journalLine struct {
	Key   string `json:"key"`
	Entry Entry  `json:"entry"`
}

// OpenJournal opens the journal of a state directory: to go on with it, or empty.
func OpenJournal(stateDir string, resume bool) (*Journal, error) {
	j := &Journal{path: filepath.Join(stateDir, "batch", "journal"), done: map[string]Entry{}}
	whole, err := j.read()
	if err == nil {
		err = os.MkdirAll(filepath.Dir(j.path), 0o755)
	}
	if err == nil {
		j.file, err = os.OpenFile(j.path, os.O_CREATE|os.O_RDWR, 0o644)
	}
	if err != nil {
		return nil, j.fail("opening", err)
	}
	if !resume {
		whole, j.done = 0, map[string]Entry{}
	}
	if err := errors.Join(j.file.Truncate(whole), j.file.Sync(), syncDir(filepath.Dir(j.path))); err != nil {
		return nil, j.fail("beginning", errors.Join(err, j.file.Close()))
	}
	if _, err := j.file.Seek(whole, 0); err != nil {
		return nil, j.fail("beginning", errors.Join(err, j.file.Close()))
	}
	return j, nil
}

// readJournal reads what is there, to look at.
func readJournal(stateDir string) *Journal {
	j := &Journal{path: filepath.Join(stateDir, "batch", "journal"), done: map[string]Entry{}}
	_, _ = j.read() // one that cannot be read has nothing
	return j
}

func (j *Journal) fail(what string, err error) error {
	return fmt.Errorf("%s the journal of the batch %q: %w: check that the state directory can be written and has space", what, j.path, err)
}

// read takes in the lines that are whole, and gives their length in bytes.
func (j *Journal) read() (int64, error) {
	text, err := os.ReadFile(j.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	var whole int64
	for line := range bytes.Lines(text) {
		var l journalLine
		if !bytes.HasSuffix(line, []byte("\n")) || json.Unmarshal(line, &l) != nil {
			break
		}
		whole += int64(len(line))
		j.done[l.Key] = l.Entry
	}
	return whole, nil
}

// Done finds what a run before this one finished.
func (j *Journal) Done(key string) (Entry, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e, ok := j.done[key]
	return e, ok
}

// Add notes a recipe that is finished.
func (j *Journal) Add(key string, e Entry) error {
	if j.file == nil {
		return nil
	}
	line, err := json.Marshal(journalLine{key, e})
	if err != nil {
		return j.fail("writing", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	_, err = j.file.Write(append(line, '\n'))
	if err = errors.Join(err, j.file.Sync()); err != nil {
		return j.fail("writing", err)
	}
	return nil
}

// Close closes the file; what it says stays.
func (j *Journal) Close() error { return j.file.Close() }

// syncDir puts a new name on disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
