package check

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// DefaultProfile is what every riscv64 Linux board of today runs.
const DefaultProfile = "rv64gc"

// isa is a set of extensions with all that they imply.
type isa map[string]bool

// profiles are the application profiles by their mandatory user-mode
// extensions (RISC-V Profiles; RVA23 Profile).
var profiles = map[string]string{
	"rva20u64": "rv64imafdc_zicsr_zicntr",
	"rva22u64": "rv64imafdc_zicsr_zicntr_zihpm_zihintpause_zba_zbb_zbs_zicbom_zicbop_zicboz_zfhmin_zkt",
	"rva23u64": "rv64imafdcbv_zicsr_zicntr_zihpm_zihintpause_zihintntl_zicbom_zicbop_zicboz_zfhmin_zkt" +
		"_zvfhmin_zvbb_zvkt_zicond_zimop_zcmop_zcb_zfa_zawrs_supm",
}

// implied lists what an extension brings with it (unprivileged ISA manual).
var implied = map[string]string{
	"g": "i m a f d zicsr zifencei", "m": "zmmul", "a": "zaamo zalrsc", "f": "zicsr", "d": "f", "q": "d",
	"c": "zca", "zcd": "zca d", "zcb": "zca", "zcmop": "zca", "zcmp": "zca", "zcmt": "zca zicsr", "zce": "zcb zcmp zcmt",
	"b": "zba zbb zbs", "zfh": "zfhmin", "zfhmin": "f", "zfa": "f", "zfbfmin": "f",
	"zabha": "zaamo", "zacas": "zaamo", "zicntr": "zicsr", "zihpm": "zicsr",
	"zicfilp": "zicsr", "zicfiss": "zicsr zimop",
	"zk": "zkn zkr zkt", "zkn": "zbkb zbkc zbkx zkne zknd zknh", "zks": "zbkb zbkc zbkx zksed zksh",
	"v": "zve64d zvl128b", "zve64d": "zve64f d", "zve64f": "zve64x zve32f", "zve64x": "zve32x zvl64b",
	"zve32f": "zve32x f", "zve32x": "zicsr zvl32b",
	"zvfh": "zvfhmin zfhmin", "zvfhmin": "zve32f", "zvfbfmin": "zve32f", "zvfbfwma": "zvfbfmin zfbfmin",
	"zvbb": "zvkb", "zvkb": "zve32x", "zvbc": "zve64x", "zvkg": "zve32x", "zvkned": "zve32x", "zvksed": "zve32x",
	"zvksh": "zve32x", "zvknha": "zve32x", "zvknhb": "zve64x",
	"zvkn": "zvkned zvknhb zvkb zvkt", "zvknc": "zvkn zvbc", "zvkng": "zvkn zvkg",
	"zvks": "zvksed zvksh zvkb zvkt", "zvksc": "zvks zvbc", "zvksg": "zvks zvkg",
}

// harmless extensions have no instruction that another machine would refuse:
// hints that execute as no-operations, promises about timing and memory, and
// the counters and fence.i, which every machine that runs Linux has although
// the profiles do not promise them to programs.
var harmless = isa{
	"zicntr": true, "zifencei": true, "zihintpause": true, "zihintntl": true, "zicbop": true, "zkt": true, "zvkt": true,
	"ziccif": true, "ziccrse": true, "ziccamoa": true, "zicclsm": true, "ziccamoc": true, "zic64b": true,
	"za64rs": true, "za128rs": true,
}

// sums are extensions that are no more than others together.
var sums = map[string]string{
	"a": implied["a"], "b": implied["b"], "zcd": "c d", "zce": implied["zce"],
	"zk": implied["zk"], "zkn": implied["zkn"], "zks": implied["zks"],
	"zvkn": implied["zvkn"], "zvknc": implied["zvknc"], "zvkng": implied["zvkng"],
	"zvks": implied["zvks"], "zvksc": implied["zvksc"], "zvksg": implied["zvksg"],
}

// known holds every name of the tables above.
var known = func() isa {
	set := isa{}
	for name, more := range implied {
		set[name] = true
		for _, name := range strings.Fields(more) {
			set[name] = true
		}
	}
	return set.with(harmless)
}()

var (
	versioned  = regexp.MustCompile(`^([a-z0-9]*[a-z])([0-9]+p[0-9]+)$`)
	numbered   = regexp.MustCompile(`^([a-z0-9]*[a-z])[0-9]+$`)
	singleExt  = regexp.MustCompile(`^([a-z])(?:[0-9]+p[0-9]+|[0-9]+)?`)
	vectorBits = regexp.MustCompile(`^zvl([0-9]+)b$`)
)

// parseISA reads an ISA string (rv64imac_zba, with or without versions), or
// the name of a profile with extensions after it (rva22u64_zbc).
func parseISA(text string) (isa, error) {
	s := strings.ToLower(strings.TrimSpace(text))
	name, rest, _ := strings.Cut(s, "_")
	if full, ok := profiles[name]; ok {
		s = strings.TrimSuffix(full+"_"+rest, "_")
	}
	body, ok := strings.CutPrefix(s, "rv64")
	if !ok || body == "" {
		return nil, fmt.Errorf("reading the ISA %q: it is neither rv64... nor one of %s: name one of them",
			text, strings.Join(profileNames(), ", "))
	}
	set := isa{}
	for _, part := range strings.Split(body, "_") {
		if err := set.addPart(part); err != nil {
			return nil, fmt.Errorf("reading the ISA %q: %w: write it as in rv64gc_zba_zbb", text, err)
		}
	}
	return set, nil
}

// addPart reads what stands between two underscores: single letters, then at
// most one name of several letters.
func (set isa) addPart(part string) error {
	for part != "" {
		if strings.ContainsRune("zsx", rune(part[0])) {
			set.add(extensionName(part))
			return nil
		}
		m := singleExt.FindStringSubmatch(part)
		if m == nil {
			return fmt.Errorf("%q is no extension", part)
		}
		set.add(m[1])
		part = part[len(m[0]):]
	}
	return nil
}

// extensionName cuts the version. A number without "p" is a version too,
// unless the name ends in one by itself.
func extensionName(s string) string {
	if m := versioned.FindStringSubmatch(s); m != nil {
		return m[1]
	}
	if m := numbered.FindStringSubmatch(s); m != nil && known[m[1]] {
		return m[1]
	}
	return s
}

func (set isa) add(name string) {
	if set[name] {
		return
	}
	if name != "g" {
		set[name] = true
	}
	for _, more := range strings.Fields(implied[name]) {
		set.add(more)
	}
	if m := vectorBits.FindStringSubmatch(name); m != nil {
		if bits, err := strconv.Atoi(m[1]); err == nil && bits > 32 {
			set.add("zvl" + strconv.Itoa(bits/2) + "b")
		}
	}
}

// beyond returns what of the set a machine with the profile cannot run, sorted.
func (set isa) beyond(profile isa) []string {
	var more []string
	for name := range set {
		if !profile.runs(name) {
			more = append(more, name)
		}
	}
	slices.Sort(more)
	return heads(more)
}

// runs says whether a machine with the extensions of the set has this one.
func (set isa) runs(name string) bool {
	if set[name] || harmless[name] {
		return true
	}
	parts, ok := sums[name]
	return ok && !slices.ContainsFunc(strings.Fields(parts), func(part string) bool { return !set.runs(part) })
}

// heads drops from a list of extensions those that another of the list
// implies: "v" says all that twelve names do.
func heads(names []string) []string {
	var out []string
	for _, name := range names {
		if !slices.ContainsFunc(names, func(other string) bool {
			if other == name {
				return false
			}
			closure := isa{}
			closure.add(other)
			return closure[name]
		}) {
			out = append(out, name)
		}
	}
	return out
}

// with returns the union of both sets.
func (set isa) with(more isa) isa {
	union := isa{}
	for name := range set {
		union[name] = true
	}
	for name := range more {
		union[name] = true
	}
	return union
}

// String is the short form: single letters in their canonical order, then what
// is not implied by them.
func (set isa) String() string {
	var names []string
	for name := range set {
		names = append(names, name)
	}
	slices.Sort(names)
	names = heads(names)
	var long []string
	letters := map[string]bool{}
	for _, name := range names {
		if len(name) == 1 {
			letters[name] = true
		} else {
			long = append(long, name)
		}
	}
	out := "rv64"
	for _, l := range "iemafdqcbvh" {
		// f and d are implied by others, but rv64imafdc is how people write it.
		if name := string(l); letters[name] || (name == "f" || name == "d") && set[name] {
			out += name
		}
	}
	if body, ok := strings.CutPrefix(out, "rv64imafd"); ok && set["zicsr"] && set["zifencei"] {
		out = "rv64g" + body
		long = slices.DeleteFunc(long, func(n string) bool { return n == "zifencei" })
	}
	return strings.Join(append([]string{out}, long...), "_")
}

func profileNames() []string {
	var names []string
	for name := range profiles {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
