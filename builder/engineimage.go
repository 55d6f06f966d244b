package builder

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/builder/debian/rootfs"
	"github.com/riscv-build/riscv-build/builder/engineimage"
	"github.com/riscv-build/riscv-build/builder/fetch"
	"github.com/riscv-build/riscv-build/builder/image"
	"github.com/riscv-build/riscv-build/pusher"
	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// EngineImageRequest asks for the image of the engine.
type EngineImageRequest struct {
	Programs []engineimage.Program // one for each architecture
	LockPath string                // empty: the lock that is built in
	Update   bool                  // resolve again into LockPath, although the lock there is good
	Offline  bool

	AllowExpired bool // accept archive states past their Valid-Until
}

// EngineImage is the image of the engine, of which nothing may be there yet.
type EngineImage struct {
	b        *Builder
	p        *plan
	contents []engineimage.Content
}

// EngineImage finds the lock of the engine's image, or resolves it.
func (b *Builder) EngineImage(ctx context.Context, req EngineImageRequest) (*EngineImage, error) {
	e := &EngineImage{b: b}
	of := Request{Recipe: engineRecipe(), LockPath: req.LockPath, Update: req.Update, Offline: req.Offline, AllowExpired: req.AllowExpired}
	l, err := b.engineLock(ctx, of)
	if err != nil {
		return nil, err
	}
	for _, program := range req.Programs {
		e.contents = append(e.contents, engineimage.Content{Program: program, Version: b.cfg.Version})
	}
	return e, e.use(of, l)
}

// engineRecipe stands for the image where a recipe says where packages come from.
func engineRecipe() *recipes.Recipe {
	return &recipes.Recipe{
		Name:   "engine-image",
		Debian: recipes.Debian{Suites: recipes.DefaultSuites, Components: []string{"main"}},
	}
}

// use takes the packages of a lock.
func (e *EngineImage) use(req Request, l *lock.File) error {
	e.p = &plan{req: req, lock: l, date: imageDate(req.Recipe, l), notes: lockNotes(l)}
	for i := range e.contents {
		var err error
		if e.contents[i].Packages, err = e.p.packages(engineimage.Set(e.contents[i].Program.Arch)); err != nil {
			return err
		}
	}
	return nil
}

// Identity is a digest over everything that decides the image of the first
// architecture; it is in its configuration as a label.
func (e *EngineImage) Identity() digest.Digest { return e.contents[0].Identity() }

// Notes are what a report says of it.
func (e *EngineImage) Notes() []string { return e.p.notes }

// Make fetches and assembles what is not there: one image, or an index of
// several. Packages that have left every server are resolved anew, loudly.
func (e *EngineImage) Make(ctx context.Context) (pusher.Image, error) {
	out, err := e.make(ctx)
	var gone *fetch.GoneError
	if !errors.As(err, &gone) {
		return out, err
	}
	if err := e.relock(ctx, gone); err != nil {
		return out, err
	}
	return e.make(ctx)
}

func (e *EngineImage) make(ctx context.Context) (pusher.Image, error) {
	var all []ocispec.Descriptor
	for _, c := range e.contents {
		desc, err := e.one(ctx, c)
		if err != nil {
			return pusher.Image{}, fmt.Errorf("assembling the engine's image for %s: %w", c.Program.Arch, err)
		}
		all = append(all, desc)
	}
	desc := all[0]
	if len(all) > 1 {
		var err error
		if desc, err = image.WriteIndex(ctx, e.b.store.Content(), all); err != nil {
			return pusher.Image{}, err
		}
	}
	return pusher.Image{Provider: e.b.store.Content(), Desc: desc}, nil
}

// one makes the image of one architecture, once per state directory.
func (e *EngineImage) one(ctx context.Context, c engineimage.Content) (ocispec.Descriptor, error) {
	k := key("engine-image", c.Identity().String(), compressFormat, e.p.date.String())
	var have ocispec.Descriptor
	if e.b.cache.get(k, &have) {
		if _, err := e.b.open(ctx, imageEntry{Desc: have}); err == nil {
			return have, nil
		}
	}
	base, err := e.b.packageLayer(ctx, e.p, "packages of the engine", rootfs.Spec{Packages: c.Packages, Exclude: engineimage.Exclude()})
	if err != nil {
		return have, err
	}
	program, err := e.programLayer(ctx, c.Program)
	if err != nil {
		return have, err
	}
	layers := []image.Layer{base.Layer, program}
	for i := range layers {
		if layers[i], err = e.b.compressed(ctx, layers[i]); err != nil {
			return have, err
		}
	}
	desc, err := image.Write(ctx, e.b.store.Content(), image.Spec{
		Platform: ocispec.Platform{OS: "linux", Architecture: c.Program.Arch},
		Config:   engineimage.Config(c.Identity(), c.Version), Layers: layers, Created: e.p.date,
	})
	if err != nil {
		return desc, err
	}
	return desc, e.b.cache.put(k, desc)
}

// programLayer holds this program and the places it uses. What is above them
// comes from the packages.
func (e *EngineImage) programLayer(ctx context.Context, p engineimage.Program) (image.Layer, error) {
	t := image.NewTree()
	defer t.Close()
	if err := t.AddBlob(ctx, p, ocispec.Descriptor{Digest: p.Digest}, tar.Header{Typeflag: tar.TypeReg, Name: engineimage.ProgramPath, Mode: 0o755}); err != nil {
		return image.Layer{}, err
	}
	t.Add(tar.Header{Typeflag: tar.TypeSymlink, Name: engineimage.ClientPath, Linkname: filepath.Base(engineimage.ProgramPath), Mode: 0o777}, nil)
	t.Add(tar.Header{Typeflag: tar.TypeDir, Name: engineimage.SocketDir, Mode: 0o755}, nil)
	t.Add(tar.Header{Typeflag: tar.TypeDir, Name: engineimage.StateDir, Mode: 0o755}, nil)
	return image.PutTar(ctx, e.b.store.Content(), "riscv-build "+e.b.cfg.Version, func(w io.Writer) error { return t.Write(w, e.p.date) })
}

// engineLock gives the lock that was named or is built in, or the one of the
// state directory that stands for it. A named one that lacks something is
// resolved and written.
func (b *Builder) engineLock(ctx context.Context, req Request) (*lock.File, error) {
	if req.LockPath == "" && req.Update {
		return nil, errors.New("updating the engine's lock: the one that is built in cannot change: name a file with --lock")
	}
	l, text, err := b.readEngineLock(req.LockPath)
	if err != nil {
		return nil, err
	}
	why := "an update was asked for"
	if !req.Update {
		if why = lacks(l); why == "" {
			if own, err := lock.Load(b.replacementPath(req, text)); err == nil && lacks(own) == "" {
				return own, nil
			}
			return l, nil
		}
	}
	b.cfg.Display.Notice("engine image: resolving packages: %s: %s", engineLockName(req), why)
	fresh, err := b.resolveEngine(ctx, req)
	if err != nil {
		return nil, err
	}
	return fresh, fresh.Save(b.lockTarget(req, text))
}

func engineLockName(req Request) string {
	if req.LockPath == "" {
		return engineimage.LockName
	}
	return req.LockPath
}

func (b *Builder) readEngineLock(path string) (*lock.File, []byte, error) {
	if path != "" {
		return b.readLock(path)
	}
	f, err := lock.Parse(engineimage.LockName, engineimage.Lock())
	return f, engineimage.Lock(), err
}

// lacks says what is missing in a lock; "" if nothing is.
func lacks(l *lock.File) string {
	for _, w := range engineWants() {
		if have, ok := l.Set(w.set); !ok || !slices.Equal(have.Request, sorted(w.packages)) {
			return fmt.Sprintf("it does not have the packages for %s", w.arch)
		}
	}
	return ""
}

// engineWants are the sets of all architectures: a lock serves each of them.
func engineWants() []want {
	var all []want
	for _, arch := range engineimage.Arches {
		all = append(all, want{set: engineimage.Set(arch), arch: arch, packages: engineimage.Packages(arch), alone: true})
	}
	return all
}

func (b *Builder) resolveEngine(ctx context.Context, req Request) (*lock.File, error) {
	if req.Offline {
		return nil, errors.New("resolving the packages of the engine's image: --offline forbids to ask a mirror: do it once with a network")
	}
	l := lock.New()
	if err := b.resolveSets(ctx, req, l, engineWants()); err != nil {
		return nil, err
	}
	return l, nil
}

// relock resolves the packages again because some have gone, into a lock of the
// state directory.
func (e *EngineImage) relock(ctx context.Context, gone *fetch.GoneError) error {
	_, text, err := e.b.readEngineLock(e.p.req.LockPath)
	if err != nil {
		return err
	}
	e.b.cfg.Display.Notice("engine image: WARNING: %s names %d packages that no mirror has any more (%s, ...): resolving them again",
		engineLockName(e.p.req), len(gone.Blobs), gone.Blobs[0].Name)
	fresh, err := e.b.resolveEngine(ctx, e.p.req)
	if err != nil {
		return err
	}
	if err := fresh.Save(e.b.replacementPath(e.p.req, text)); err != nil {
		return err
	}
	return e.use(e.p.req, fresh)
}
