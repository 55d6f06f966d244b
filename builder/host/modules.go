package host

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// availability is how a kernel has a feature.
type availability int

const (
	unknown  availability = iota // this machine does not show what its kernel has
	absent                       // nor can it be loaded
	loadable                     // a module that is not loaded
	present
)

// feature is a part of the kernel that can be a module.
type feature struct{ module, option string }

// has finds out whether the kernel has a feature.
func (m machine) has(f feature) availability {
	if exists(m.sys, "module", f.module) {
		return present
	}
	dir := filepath.Join(m.root, "/lib/modules", m.release)
	builtin, errBuiltin := os.ReadFile(filepath.Join(dir, "modules.builtin"))
	loads, errLoads := os.ReadFile(filepath.Join(dir, "modules.dep"))
	config := m.kernelConfig()
	switch {
	case listsModule(builtin, f.module), bytes.Contains(config, []byte("\n"+f.option+"=y\n")):
		return present
	case listsModule(loads, f.module):
		return loadable
	case errBuiltin == nil && errLoads == nil, config != nil:
		return absent
	}
	return unknown
}

// listsModule looks for a module in modules.builtin or modules.dep.
func listsModule(list []byte, module string) bool {
	lines := bufio.NewScanner(bytes.NewReader(list))
	for lines.Scan() {
		file, _, _ := strings.Cut(lines.Text(), ":")
		name, _, _ := strings.Cut(path.Base(file), ".ko")
		if strings.ReplaceAll(name, "-", "_") == module {
			return true
		}
	}
	return false
}

// kernelConfig is what the kernel was configured with; nil if it is not to be had.
func (m machine) kernelConfig() []byte {
	if file, err := os.Open(filepath.Join(m.proc, "config.gz")); err == nil {
		defer file.Close()
		if unpacked, err := gzip.NewReader(file); err == nil {
			if config, err := io.ReadAll(unpacked); err == nil {
				return config
			}
		}
	}
	config, err := os.ReadFile(filepath.Join(m.root, "/boot", "config-"+m.release))
	if err != nil {
		return nil
	}
	return config
}

// load gives a repair that loads modules.
func (m machine) load(modules ...string) mend {
	return func(ctx context.Context, report func(string)) error {
		if err := m.needRoot(); err != nil {
			return err
		}
		modprobe := m.find("modprobe")
		if modprobe == "" {
			return fmt.Errorf("loading modules %s: modprobe is not installed: run `apt-get install kmod`", strings.Join(modules, ", "))
		}
		out, err := exec.CommandContext(ctx, modprobe, append([]string{"-a"}, modules...)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("loading modules %s: %w: %s: install the modules of kernel %s, or run this outside of a container",
				strings.Join(modules, ", "), err, bytes.TrimSpace(out), m.release)
		}
		report("loaded " + strings.Join(modules, ", "))
		return nil
	}
}
