package check

import (
	"debug/elf"
	"fmt"
	"path"
	"slices"
	"strings"
)

// companions are the machines that an architecture runs besides its own.
var companions = map[string][]string{"amd64": {"386"}, "arm64": {"arm"}}

// Foreign lists the ELF files that are for another machine than an architecture
// (a GOARCH), in the order of the tree. It is nil for an architecture that the check does
// not know. Unlike Judge it asks nothing else of an image, and so is for images
// of others.
func (c *Contents) Foreign(architecture string) []Finding {
	known := []string{"386", "amd64", "arm", "arm64", "loong64", "ppc64le", "riscv64", "s390x"}
	if !slices.Contains(known, architecture) {
		return nil
	}
	fit := append([]string{architecture}, companions[architecture]...)
	var all []Finding
	seen := map[*File]bool{}
	c.Tree.Walk(func(_ string, f *File) {
		if f.ELF == nil || seen[f] || elf.Machine(f.ELF.Machine) == elf.EM_BPF || f.ELF.Machine == 0 {
			return
		}
		seen[f] = true
		if machine := f.ELF.machineName(); !slices.Contains(fit, machine) {
			all = append(all, Finding{SeverityError, f.Path, "machine",
				fmt.Sprintf("is an ELF file for %s, the image says it is for %s", machine, architecture), ""})
		}
	})
	return all
}

// Program is an executable file of an image.
type Program struct {
	Path    string   `json:"path"`
	Machine string   `json:"machine"`          // a GOARCH where there is one
	ISA     string   `json:"isa,omitempty"`    // short form, or GORISCV64 of a Go program; "" if it does not say
	Interp  string   `json:"interp,omitempty"` // its loader; "" of a static program, and of other machines than riscv64
	Needed  []string `json:"needed,omitempty"` // libraries that it names itself; of riscv64 only
}

// Programs lists the executable ELF files that are no shared libraries, hard
// links once, in the order of the tree.
func (c *Contents) Programs() []Program {
	all := []Program{}
	seen := map[*File]bool{}
	c.Tree.Walk(func(_ string, f *File) {
		if f.ELF == nil || seen[f] || f.Mode&0o111 == 0 || f.ELF.Member != "" {
			return
		}
		if base := path.Base(f.Path); strings.HasSuffix(base, ".so") || strings.Contains(base, ".so.") {
			return
		}
		seen[f] = true
		one := Program{Path: f.Path, Machine: f.ELF.machineName(), ISA: f.ELF.GoISA, Interp: f.ELF.Interp, Needed: f.ELF.Needed}
		if set, err := parseISA(f.ELF.Arch); f.ELF.Arch != "" && err == nil {
			one.ISA = set.String()
		}
		all = append(all, one)
	})
	return all
}

// Machines counts the ELF files by machine.
func (c *Contents) Machines() map[string]int {
	count := map[string]int{}
	seen := map[*File]bool{}
	c.Tree.Walk(func(_ string, f *File) {
		if f.ELF != nil && !seen[f] {
			seen[f] = true
			count[f.ELF.machineName()]++
		}
	})
	return count
}
