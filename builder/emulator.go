package builder

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/riscv-build/riscv-build/builder/debian/rootfs"
	"github.com/riscv-build/riscv-build/builder/engineimage"
	"github.com/riscv-build/riscv-build/builder/image"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// Emulator gives the path of a static qemu-riscv64 for this machine: that of the
// engine's image, kept in the state directory.
func (b *Builder) Emulator(ctx context.Context) (string, error) {
	if runtime.GOARCH == "riscv64" {
		return "", errors.New("bringing a QEMU for riscv64 programs: this machine runs them by itself")
	}
	req := Request{Recipe: engineRecipe()}
	l, err := b.engineLock(ctx, req)
	if err != nil {
		return "", err
	}
	p := &plan{req: req, lock: l}
	all, err := p.packages(engineimage.Set(runtime.GOARCH))
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(all, func(pkg lock.Package) bool { return pkg.Name == engineimage.EmulatorPackage })
	if i < 0 {
		return "", fmt.Errorf("looking for %s: %s does not have it for %s: run the riscv-build of a release", engineimage.EmulatorPackage, engineLockName(req), runtime.GOARCH)
	}
	path := filepath.Join(b.cfg.StateDir, "qemu", "qemu-riscv64-"+all[i].SHA256[:16])
	if fi, err := os.Stat(path); err == nil && fi.Mode()&0o111 != 0 {
		return path, nil
	}
	return path, b.unpackEmulator(ctx, p, all[i], path)
}

// unpackEmulator takes the program out of its package.
func (b *Builder) unpackEmulator(ctx context.Context, p *plan, pkg lock.Package, path string) error {
	spec := rootfs.Spec{Purpose: rootfs.Sysroot, Packages: []lock.Package{pkg}, Exclude: []string{"/**", "!" + engineimage.EmulatorPath}}
	l, err := b.packageLayer(ctx, p, engineimage.EmulatorPackage, spec)
	if err != nil {
		return err
	}
	text, err := b.readBelow(ctx, []image.Layer{l.Layer}, engineimage.EmulatorPath[1:])
	if err == nil && text == nil {
		err = errors.New("it is not there: run the riscv-build of a release")
	}
	if err == nil {
		err = writeFile(path, text)
	}
	if err == nil {
		err = os.Chmod(path, 0o755)
	}
	if err != nil {
		return fmt.Errorf("taking %s out of package %q: %w", engineimage.EmulatorPath, pkg.ID, err)
	}
	return nil
}
