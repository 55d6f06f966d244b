package host

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// tryOverlay mounts and unmounts an overlay in a directory of its own below
// dir, which exists.
func tryOverlay(dir string) (err error) {
	tmp, err := os.MkdirTemp(dir, ".doctor-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	at := map[string]string{}
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		at[name] = filepath.Join(tmp, name)
		if err := os.Mkdir(at[name], dirPermission); err != nil {
			return err
		}
	}
	data := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", at["lower"], at["upper"], at["work"])
	if err := unix.Mount("overlay", at["merged"], "overlay", 0, data); err != nil {
		return err
	}
	return unix.Unmount(at["merged"], unix.MNT_DETACH)
}

// mountBinfmt mounts the binfmt_misc file system; the kernel loads its module.
func mountBinfmt(dir string) error {
	if err := unix.Mount("binfmt_misc", dir, "binfmt_misc", 0, ""); err != nil {
		return fmt.Errorf("mounting binfmt_misc at %q: %w: load the kernel module (modprobe binfmt_misc), or ask whoever runs this container for its host to have it", dir, err)
	}
	return nil
}
