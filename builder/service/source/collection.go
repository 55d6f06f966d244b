package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/riscv-build/riscv-build/builder/service"
)

const (
	// stale is how old what is known of a repository may be.
	stale = time.Minute
	// How long a request waits for a repository that is slow. What is there
	// already serves until then.
	listWait    = 2 * time.Second
	resolveWait = 20 * time.Second
)

// collection is what --recipes names.
type collection struct {
	s    *Sources
	repo repository // zero for a directory
	home string     // DIR/recipes: current.json, and a directory for the commit

	mu      sync.RWMutex // held for reading while files are read
	dir     string       // that holds the files; empty: nothing was fetched yet
	at      checkout
	listing listing

	flight  sync.Mutex
	running chan struct{} // closed when the refresh that goes on has ended
	tried   time.Time
	problem error
	ctx     context.Context // of refreshes: nobody who waits for one ends it
	cancel  context.CancelFunc
}

// checkout says what of a repository is there.
type checkout struct {
	URL    string `json:"url"`
	Ref    string `json:"ref"`    // as configured
	Branch string `json:"branch"` // refs/heads/main
	Commit string `json:"commit"`
}

func (s *Sources) openCollection() (*collection, error) {
	c := &collection{s: s, home: filepath.Join(s.cfg.Dir, "recipes")}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if !isAddress(s.cfg.Recipes) {
		dir, err := filepath.Abs(s.cfg.Recipes)
		if err == nil {
			_, err = os.ReadDir(dir)
		}
		if err != nil {
			return nil, fmt.Errorf("reading --recipes %q: %w: name a directory of recipes or a git repository", s.cfg.Recipes, err)
		}
		s.cfg.Recipes, c.dir = dir, dir
		return c, nil
	}
	address, err := gitAddress(s.cfg.Recipes, true)
	if err != nil {
		return nil, fmt.Errorf("reading --recipes: %w", err)
	}
	c.repo = repository{address, s.cfg.Ref}
	if err := os.MkdirAll(c.home, 0o700); err != nil {
		return nil, fmt.Errorf("opening %q: %w: check that the state directory can be written", c.home, err)
	}
	var at checkout
	dirOf := func() string { return filepath.Join(c.home, at.Commit) }
	if readJSON(filepath.Join(c.home, "current.json"), &at) && at.URL == c.repo.url && at.Ref == c.repo.ref && isDir(dirOf()) {
		c.at, c.dir = at, dirOf()
	}
	return c, c.clear()
}

// clear removes files of other commits than the one in use.
func (c *collection) clear() error {
	entries, err := os.ReadDir(c.home)
	for _, e := range entries {
		if e.IsDir() && (c.dir == "" || e.Name() != c.at.Commit) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(c.home, e.Name())))
		}
	}
	if err != nil {
		return fmt.Errorf("clearing %q: %w: check that the state directory can be written", c.home, err)
	}
	return nil
}

func (c *collection) close() { c.cancel() }

// wait says how long to wait for a refresh, and whether one is needed at once.
type wait struct {
	limit time.Duration
	now   bool
}

// refresh brings a repository's files up to date, if they are old. Its error is
// why that did not work; what was there before stays. A caller does not wait
// beyond its limit where something is there.
func (c *collection) refresh(ctx context.Context, w wait) error {
	if c.repo.url == "" {
		return nil
	}
	c.flight.Lock()
	running := c.running
	if running != nil && w.now {
		// It may have asked for the commit before that was what it is now.
		c.flight.Unlock()
		select {
		case <-running:
			return c.refresh(ctx, w)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if running == nil && (w.now || time.Since(c.tried) >= stale) {
		running = make(chan struct{})
		c.running, c.tried = running, time.Now()
		go c.update(running)
	}
	problem := c.problem
	c.flight.Unlock()
	if running == nil {
		return problem
	}
	enough := time.NewTimer(w.limit)
	defer enough.Stop()
	select {
	case <-running:
		c.flight.Lock()
		defer c.flight.Unlock()
		return c.problem
	case <-ctx.Done():
		return ctx.Err()
	case <-enough.C:
		return &service.UnavailableError{Err: fmt.Errorf("waiting for repository %q of --recipes: it is still being fetched: try again", c.repo.url), After: 10 * time.Second}
	}
}

// update is one refresh.
func (c *collection) update(done chan struct{}) {
	ctx, cancel := context.WithTimeout(c.ctx, checkoutTime)
	defer cancel()
	err := c.fetch(ctx)
	if err == nil {
		err = c.noteFirst()
	}
	if err != nil && c.ctx.Err() == nil {
		c.s.cfg.Log.Warn("recipes are not up to date", "url", c.repo.url, "error", err)
	}
	c.flight.Lock()
	defer c.flight.Unlock()
	var wrong *service.InvalidError
	if errors.As(err, &wrong) {
		// The address of --recipes is no client's mistake.
		err = &service.UnavailableError{Err: wrong.Err, After: stale}
	}
	c.problem, c.running = err, nil
	close(done)
}

func (c *collection) fetch(ctx context.Context) error {
	ref, err := c.s.resolve(ctx, c.repo)
	if err != nil {
		return err
	}
	next := checkout{c.repo.url, c.repo.ref, ref.Name, ref.Hash}
	c.mu.RLock()
	same := c.dir != "" && c.at == next
	c.mu.RUnlock()
	if same {
		return nil
	}
	work, err := c.s.checkOut(ctx, c.repo, ref.Hash)
	if err != nil {
		return err
	}
	defer os.RemoveAll(work) //nolint:errcheck // removed at the next start if not now
	files, err := filesOf(work)
	if err != nil {
		return err
	}
	return c.replace(files, next)
}

// replace puts new files in the place of the old ones.
func (c *collection) replace(files string, next checkout) error {
	text, err := json.Marshal(next)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	dir := filepath.Join(c.home, next.Commit)
	if dir != c.dir {
		if err = errors.Join(syncFiles(files), os.RemoveAll(dir), os.Rename(files, dir)); err != nil {
			return fmt.Errorf("keeping %q: %w: check that the state directory can be written", dir, err)
		}
	}
	if err := writeAside(filepath.Join(c.home, "current.json"), text); err != nil {
		return err
	}
	old := c.dir
	c.dir, c.at, c.listing = dir, next, listing{}
	if old != "" && old != dir {
		return os.RemoveAll(old)
	}
	return nil
}

// view is what --recipes holds at a moment.
type view struct {
	fsys    fs.FS // nil: nothing was fetched yet
	origin  service.Origin
	entries []entry
}

// entry is one recipe file.
type entry struct {
	path string
	info service.RecipeInfo
}

func (v *view) entry(name string) (entry, bool) {
	if v == nil {
		return entry{}, false
	}
	for _, e := range v.entries {
		if e.info.Name == name {
			return e, true
		}
	}
	return entry{}, false
}

// read looks at the files while nobody replaces them.
func (c *collection) read(look func(view) error) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.dir == "" {
		return look(view{})
	}
	root, err := os.OpenRoot(c.dir)
	if err != nil {
		return fmt.Errorf("reading --recipes %q: %w: bring the directory back", c.s.cfg.Recipes, reason(err))
	}
	defer root.Close()
	v := view{fsys: root.FS(), origin: service.Origin{Kind: service.FromRecipes, URL: c.repo.url, Ref: c.at.Ref, Commit: c.at.Commit}}
	if v.entries, err = c.listing.of(v.fsys); err != nil {
		return fmt.Errorf("reading --recipes %q: %w: make it readable", c.s.cfg.Recipes, reason(err))
	}
	return look(v)
}

// listing remembers what the recipe files said for as long as they do not
// change; what they name beside them may, and is looked at once a minute.
type listing struct {
	mu        sync.Mutex
	signature string
	made      time.Time
	entries   []entry
}

func (l *listing) of(fsys fs.FS) ([]entry, error) {
	names, err := topRecipes(fsys)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	for _, name := range names {
		if info, err := fs.Stat(fsys, name); err == nil {
			fmt.Fprintf(&b, "%q %d %d\n", name, info.Size(), info.ModTime().UnixNano())
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.signature == b.String() && time.Since(l.made) < stale {
		return l.entries, nil
	}
	l.signature, l.made, l.entries = b.String(), time.Now(), nil
	for _, name := range names {
		r, err := parse(fsys, name)
		l.entries = append(l.entries, entry{name, infoOf(strings.TrimSuffix(name, ".toml"), r, err, service.FromRecipes)})
	}
	return l.entries, nil
}

func readJSON(name string, v any) bool {
	data, err := os.ReadFile(name)
	return err == nil && json.Unmarshal(data, v) == nil
}

// syncFiles puts all files below a directory on disk: current.json will say
// for months that they are there.
func syncFiles(dir string) error {
	return filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() && !e.IsDir() {
			return err
		}
		return syncDir(name)
	})
}

func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}
