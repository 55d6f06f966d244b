package host

import (
	"bufio"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// baseISA are the extensions of rv64gc. Kernels before 6.6 do not name zicsr and
// zifencei, which no processor with the others lacks.
var baseISA = []string{"i", "m", "a", "f", "d", "c"}

// profiles are the profiles beyond rv64gc, the highest first, by what sets them
// apart of that which kernels tell.
var profiles = []struct {
	name string
	has  []string
}{
	{"RVA23", []string{"v", "zba", "zbb", "zbs", "zicboz", "zfhmin", "zvbb", "zicond", "zfa"}},
	{"RVA22", []string{"zba", "zbb", "zbs", "zicboz"}},
	{"RVA20", nil},
}

// shownISA are the extensions that people ask for.
var shownISA = []string{"v", "zba", "zbb", "zbs"}

// isa checks that the processor has what every riscv64 package of the archive
// is compiled for. probed is what the kernel's hwprobe call tells.
func (m machine) isa(probed []string) Finding {
	f := Finding{Name: "ISA", Severity: Error, Why: "every riscv64 program of the archive is compiled for rv64gc"}
	common, model := m.cpuinfo()
	for _, ext := range probed {
		common[ext] = true
	}
	if len(common) == 0 {
		f.Severity, f.What = Warning, "neither /proc/cpuinfo nor hwprobe names the processor's extensions"
		f.Fix = "mount -t proc proc /proc"
		return f
	}
	if missing := lacking(common, baseISA); len(missing) > 0 {
		f.What = "the processor has no " + strings.ToUpper(strings.Join(missing, ", "))
		f.Fix = "build on another machine: cross-compiling on a PC makes the same images"
		return f
	}
	what := "rv64gc, " + profile(common)
	for _, ext := range shownISA {
		if common[ext] {
			what += ", " + strings.ToUpper(ext[:1]) + ext[1:]
		}
	}
	if common["xtheadvector"] {
		what += ", draft vectors (not V)"
	}
	if model != "" {
		what += " (" + model + ")"
	}
	return good(f.Name, Error, what)
}

func profile(extensions map[string]bool) string {
	for _, p := range profiles {
		if len(lacking(extensions, p.has)) == 0 {
			return p.name
		}
	}
	return "" // the last has no condition
}

func lacking(extensions map[string]bool, wanted []string) []string {
	var missing []string
	for _, ext := range wanted {
		if !extensions[ext] {
			missing = append(missing, ext)
		}
	}
	return missing
}

// cpuinfo gives the extensions that all processors have, and the model of the
// last.
func (m machine) cpuinfo() (common map[string]bool, model string) {
	common = map[string]bool{}
	file, err := os.Open(filepath.Join(m.proc, "cpuinfo"))
	if err != nil {
		return common, ""
	}
	defer file.Close()
	seen := false
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ":")
		switch strings.TrimSpace(key) {
		case "isa", "hart isa": // of all processors, of this one
			if one := parseISA(strings.TrimSpace(value)); seen {
				maps.DeleteFunc(common, func(ext string, _ bool) bool { return !one[ext] })
			} else {
				common, seen = one, true
			}
		case "uarch":
			model = strings.TrimSpace(value)
		}
	}
	return common, model
}

// parseISA takes a description such as rv64imafdc_zicsr_zba apart.
func parseISA(text string) map[string]bool {
	extensions := map[string]bool{}
	parts := strings.Split(strings.ToLower(text), "_")
	letters, ok := strings.CutPrefix(parts[0], "rv64")
	if !ok {
		return extensions
	}
	for _, letter := range letters {
		if letter == 'g' {
			for _, ext := range []string{"i", "m", "a", "f", "d", "zicsr", "zifencei"} {
				extensions[ext] = true
			}
			continue
		}
		extensions[string(letter)] = true
	}
	for _, ext := range slices.DeleteFunc(parts[1:], func(s string) bool { return s == "" }) {
		extensions[ext] = true
	}
	return extensions
}
