package host

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// controllers are those that limit containers. Builds set no limit by
// themselves, so they go without.
var controllers = []string{"memory", "cpu", "pids"}

const whyCgroups = "runc places every container in a cgroup"

// whyController says what is lost without a controller.
func whyController(name string) string {
	if name == "pids" {
		return "builds go without; a container that forks without end takes the machine with it"
	}
	return "builds go without; K3s does not start, and containers cannot be limited"
}

// hierarchy is where cgroups are mounted.
type hierarchy struct {
	unified string          // directory of version 2; "" if it is not mounted
	legacy  map[string]bool // controllers that are mounted as version 1
}

// cgroups looks for a mounted hierarchy of either version, and the controllers.
func (m machine) cgroups() []Finding {
	f := Finding{Name: "cgroups", Severity: Error, Why: whyCgroups}
	mounts, err := m.mounts()
	if err != nil {
		f.What, f.Fix = err.Error(), "mount -t proc proc /proc"
		return []Finding{f}
	}
	h, v1 := hierarchy{legacy: map[string]bool{}}, false
	for _, mt := range mounts {
		switch mt.fstype {
		case "cgroup2":
			h.unified = mt.dir
		case "cgroup":
			v1 = true
			for _, option := range strings.Split(mt.options, ",") {
				h.legacy[option] = true
			}
		}
	}
	switch {
	case h.unified != "" && v1:
		f = good(f.Name, Error, "version 1, with version 2 beside it (hybrid)")
	case h.unified != "":
		f = good(f.Name, Error, "version 2")
	case v1:
		f = good(f.Name, Error, "version 1")
	default:
		f.What, f.Fix = "no cgroup file system is mounted", "mount -t cgroup2 none /sys/fs/cgroup"
		return []Finding{f}
	}
	findings := []Finding{f}
	for _, name := range controllers {
		findings = append(findings, m.controller(h, name))
	}
	return findings
}

// controller says whether containers get a controller.
func (m machine) controller(h hierarchy, name string) Finding {
	f := Finding{Name: name + " controller", Severity: Warning, Why: whyController(name)}
	if h.legacy[name] {
		return good(f.Name, Warning, "enabled")
	}
	if h.unified == "" || !listed(text(h.unified, "cgroup.controllers"), name) {
		f.What, f.Fix = m.noController(h, name)
		return f
	}
	passed := filepath.Join(h.unified, "cgroup.subtree_control")
	if listed(text(passed), name) {
		return good(f.Name, Warning, "enabled")
	}
	f.What = fmt.Sprintf("it is not passed on to containers: %q lacks it", passed)
	f.Fix = fmt.Sprintf("echo +%s > %s (doctor --fix does that)", name, passed)
	f.mend = func(_ context.Context, report func(string)) error {
		if err := m.needRoot(); err != nil {
			return err
		}
		if err := put(passed, "+"+name); err != nil {
			return fmt.Errorf("writing +%s to %q: %w: run this outside of a container", name, passed, err)
		}
		report(fmt.Sprintf("enabled the %s controller in %s", name, passed))
		return nil
	}
	return f
}

func listed(words, word string) bool { return slices.Contains(strings.Fields(words), word) }

// noController finds out why there is no such controller, and what helps.
func (m machine) noController(h hierarchy, name string) (what, fix string) {
	parameter := "cgroup_disable=" + name
	switch {
	case m.disabledAtBoot(name):
		return fmt.Sprintf("%q on the kernel's command line switches it off", parameter),
			fmt.Sprintf("take %s out of the kernel's command line (%s), or put %s behind it, then reboot", parameter, m.commandLine(), enabling(name))
	case h.unified != "" && exists(h.unified, "cgroup.events"): // what the root of the hierarchy does not have
		return "it is not delegated to this container or service",
			"run riscv-build on the machine itself, or have it delegated (systemd: Delegate=yes; docker run --cgroupns=host --privileged)"
	}
	switch m.kernelController(name) {
	case "1":
		return "its version 1 hierarchy is not mounted",
			fmt.Sprintf("mkdir -p /sys/fs/cgroup/%[1]s && mount -t cgroup -o %[1]s %[1]s /sys/fs/cgroup/%[1]s", name)
	case "0":
		return "the kernel has it switched off",
			fmt.Sprintf("add %s to the kernel's command line (%s), then reboot", enabling(name), m.commandLine())
	}
	return "the kernel does not have it",
		fmt.Sprintf("add %s to the kernel's command line (%s) and reboot; if that changes nothing, install another kernel, such as %s", enabling(name), m.commandLine(), m.debianKernel())
}

// enabling are the parameters that switch a controller on; some kernels know
// only the second one for memory.
func enabling(name string) string {
	if name == "memory" {
		return "`cgroup_enable=memory cgroup_memory=1`"
	}
	return "`cgroup_enable=" + name + "`"
}

// disabledAtBoot says whether a parameter is why a controller is not there.
func (m machine) disabledAtBoot(name string) bool {
	for _, word := range strings.Fields(text(m.proc, "cmdline")) {
		if list, ok := strings.CutPrefix(word, "cgroup_disable="); ok && slices.Contains(strings.Split(list, ","), name) {
			return true
		}
	}
	return false
}

// kernelController is what the kernel says of a controller: "1" enabled, "0"
// not, "" it does not know it.
func (m machine) kernelController(name string) string {
	for line := range strings.Lines(text(m.proc, "cgroups")) {
		if f := strings.Fields(line); len(f) == 4 && f[0] == name {
			return f[3]
		}
	}
	return ""
}

// commandLine says where the kernel's command line is written on this machine.
func (m machine) commandLine() string {
	for _, c := range []struct{ file, how string }{
		{"/etc/default/u-boot", "U_BOOT_PARAMETERS in /etc/default/u-boot, then u-boot-update"},
		{"/boot/extlinux/extlinux.conf", "the append lines of /boot/extlinux/extlinux.conf"},
		{"/boot/armbianEnv.txt", "extraargs in /boot/armbianEnv.txt"},
		{"/boot/firmware/cmdline.txt", "/boot/firmware/cmdline.txt"},
		{"/etc/default/grub", "GRUB_CMDLINE_LINUX in /etc/default/grub, then update-grub"},
	} {
		if exists(m.root, c.file) {
			return c.how
		}
	}
	return "in the boot loader's configuration"
}
