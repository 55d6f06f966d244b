package imagestore

import (
	"fmt"
	"hash/fnv"
	"os"
	"strconv"
	"strings"
	"sync"
)

// labelOwner marks what was made for one run with its owner.
const labelOwner = "io.riscv-build.owner"

// owner names this process so that another one can tell later whether it is
// still there, in letters that a tag may have: machine, boot, namespace of
// process ids, process id, time of its start.
var owner = sync.OnceValue(func() string {
	pid := os.Getpid()
	start, _ := started(pid)
	return strings.Join(append(world(), strconv.Itoa(pid), start), "-")
})

// world is where a process id means something: a machine, its boot, a namespace.
// "x" where this system does not tell.
var world = sync.OnceValue(func() []string {
	host, _ := os.Hostname()
	id, _ := os.ReadFile("/etc/machine-id")
	boot, bootErr := os.ReadFile("/proc/sys/kernel/random/boot_id")
	space, spaceErr := os.Readlink("/proc/self/ns/pid")
	all := []string{short(host + string(id)), short(string(boot)), short(space)}
	if bootErr != nil {
		all[1] = "x"
	}
	if spaceErr != nil {
		all[2] = "x"
	}
	return all
})

func short(s string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(s)) // it has no errors
	return fmt.Sprintf("%08x", h.Sum32())
}

// gone tells whether the process that owner named is certainly no more.
func gone(name string) bool {
	parts := strings.Split(name, "-")
	here := world()
	if len(parts) != 5 || parts[0] != here[0] || parts[1] == "x" || here[1] == "x" {
		return false
	}
	if parts[1] != here[1] {
		return true // the machine has been started anew
	}
	pid, err := strconv.Atoi(parts[3])
	if err != nil || parts[2] != here[2] || parts[2] == "x" {
		return false
	}
	start, err := started(pid)
	return os.IsNotExist(err) || err == nil && start != parts[4]
}

// started is when a process began, in ticks since the boot: the 22nd field of
// its stat, whose second is a name in parentheses that may hold anything.
func started(pid int) (string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "x", err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 20 {
		return "x", fmt.Errorf("reading the start of process %d: its stat has %d fields", pid, len(fields))
	}
	return fields[19], nil
}
