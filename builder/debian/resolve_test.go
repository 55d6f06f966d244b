package debian

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pault.ag/go/debian/version"

	"github.com/riscv-build/riscv-build/recipes/lock"
)

// indexOf makes an index of one architecture from stanzas.
func indexOf(t *testing.T, stanzas ...string) *Index {
	t.Helper()
	p := packagesFile{archive: ArchiveDebian, arch: "riscv64", shared: &sharedEntries{byHash: map[string]*entry{}}}
	if err := p.parse(strings.NewReader(strings.Join(stanzas, "\n"))); err != nil {
		t.Fatal(err)
	}
	a := &archIndex{arch: "riscv64", entries: p.entries}
	if err := a.order(); err != nil {
		t.Fatal(err)
	}
	return &Index{arches: map[string]*archIndex{"riscv64": a}}
}

func names(pkgs []lock.Package) string {
	var out []string
	for _, p := range pkgs {
		out = append(out, p.Name+"="+p.Version)
	}
	return strings.Join(out, " ")
}

// given are packages of an image, each NAME=VERSION.
func given(list ...string) []lock.Package {
	var out []lock.Package
	for _, p := range list {
		name, version, _ := strings.Cut(p, "=")
		out = append(out, lock.Package{ID: name + "_" + version + "_riscv64", Name: name, Version: version, Arch: "riscv64"})
	}
	return out
}

func TestResolve(t *testing.T) {
	tests := []struct {
		name     string
		packages []string // stanzas
		req      Request
		want     string // NAME=VERSION...; "" with text: an error
		text     []string
	}{
		{name: "closure with a cycle", req: Request{Packages: []string{"a"}},
			packages: []string{stanza("a 1", "Pre-Depends: b (>= 1)", "Depends: c"), stanza("b 1", "Depends: a"), stanza("c 1 all"), stanza("d 1")},
			want:     "a=1 b=1 c=1"},
		{name: "newest version wins", req: Request{Packages: []string{"a"}},
			packages: []string{stanza("a 1"), stanza("a 1:0.9"), stanza("a 1.10"), stanza("a 1.9")}, want: "a=1:0.9"},
		{name: "older version where the newest does not fit", req: Request{Packages: []string{"a"}},
			packages: []string{stanza("a 1", "Depends: b, c"), stanza("b 2"), stanza("b 1"), stanza("c 1", "Depends: b (<< 2)")}, want: "a=1 b=1 c=1"},
		{name: "first alternative", req: Request{Packages: []string{"a"}},
			packages: []string{stanza("a 1", "Depends: absent | c (>= 9) | b | d"), stanza("b 1"), stanza("c 1"), stanza("d 1")}, want: "a=1 b=1"},
		{name: "alternative that is needed anyway", req: Request{Packages: []string{"a", "z"}},
			packages: []string{stanza("a 1", "Depends: b | c"), stanza("b 1"), stanza("c 1"), stanza("z 1", "Depends: c")}, want: "a=1 c=1 z=1"},
		{name: "preferred alternative", req: Request{Packages: []string{"a"}, Prefer: []string{"c"}},
			packages: []string{stanza("a 1", "Depends: b | c"), stanza("b 1"), stanza("c 1")}, want: "a=1 c=1"},
		{name: "second alternative where the first conflicts", req: Request{Packages: []string{"a", "z"}},
			packages: []string{stanza("a 1", "Depends: b | c"), stanza("b 1", "Depends: b2"), stanza("b2 1", "Conflicts: z"), stanza("c 1"), stanza("z 1")}, want: "a=1 c=1 z=1"},
		{name: "provider by priority, then name", req: Request{Packages: []string{"a"}},
			packages: []string{stanza("a 1", "Depends: awk"), stanza("gawk 1", "Provides: awk", "Priority: optional"),
				stanza("mawk 1", "Provides: x, awk", "Priority: required"), stanza("bawk 1", "Provides: awk", "Priority: optional")}, want: "a=1 mawk=1"},
		{name: "preferred provider", req: Request{Packages: []string{"awk"}, Prefer: []string{"gawk"}},
			packages: []string{stanza("gawk 1", "Provides: awk"), stanza("bawk 1", "Provides: awk")}, want: "gawk=1"},
		{name: "versioned provides", req: Request{Packages: []string{"a"}},
			packages: []string{stanza("a 1", "Depends: v (>= 2)"), stanza("p0 9", "Provides: v"), stanza("p1 9", "Provides: v (= 1)"), stanza("p2 1", "Provides: v (= 2.1)")}, want: "a=1 p2=1"},
		{name: "real package before a provider", req: Request{Packages: []string{"a"}},
			packages: []string{stanza("a 1", "Depends: v"), stanza("p 1", "Provides: v", "Priority: required"), stanza("v 1", "Priority: extra")}, want: "a=1 v=1"},
		{name: "package that provides what it needs and conflicts with", req: Request{Packages: []string{"mta"}},
			packages: []string{stanza("mta 1", "Provides: mail", "Conflicts: mail", "Depends: mail")}, want: "mta=1"},
		{name: "multi-arch qualifiers", req: Request{Packages: []string{"a"}},
			packages: []string{stanza("a 1", "Depends: perl:any, gcc:riscv64, x:amd64 | y"), stanza("perl 1", "Multi-Arch: allowed"), stanza("gcc 1"), stanza("x 1"), stanza("y 1")},
			want:     "a=1 gcc=1 perl=1 y=1"},
		{name: "assumed packages are left out", req: Request{Packages: []string{"a"}, Assume: []string{"*-cross", "tool"}},
			packages: []string{stanza("a 1", "Depends: libc6-cross (>= 2), tool | other, b"), stanza("libc6-cross 1"), stanza("tool 1"), stanza("other 1"), stanza("b 1", "Breaks: tool")},
			want:     "a=1 b=1"},
		{name: "essential", req: Request{Packages: []string{"a"}, Essential: true},
			packages: []string{stanza("a 1"), stanza("dash 1", "Essential: yes", "Depends: libc6"), stanza("dash 0", "Essential: yes"), stanza("libc6 1"), stanza("apt 1", "Priority: required")},
			want:     "a=1 dash=1 libc6=1"},
		{name: "recommends are not followed", req: Request{Packages: []string{"a"}}, packages: []string{stanza("a 1", "Recommends: b", "Suggests: b"), stanza("b 1")}, want: "a=1"},
		{name: "breaks by version", req: Request{Packages: []string{"a", "b"}}, packages: []string{stanza("a 1", "Breaks: b (<< 2)"), stanza("b 2"), stanza("b 1")}, want: "a=1 b=2"},

		{name: "mistyped", req: Request{Packages: []string{"libss-dev"}}, packages: []string{stanza("libssl-dev 1"), stanza("zlib1g-dev 1")},
			text: []string{`libss-dev (requested): the suites have no libss-dev for riscv64 (did you mean "libssl-dev"?)`, "change the packages of the recipe"}},
		{name: "chain to a version that is not there", req: Request{Packages: []string{"a"}},
			packages: []string{stanza("a 1", "Depends: b"), stanza("b 2", "Depends: c (>= 3) | d"), stanza("c 2"), stanza("e 1", "Provides: c (= 1)")},
			text:     []string{"a 1 (requested) -> b 2 depends on c (>= 3) | d: of c there is only 2, provided by e as 1; the suites have no d for riscv64"}},
		{name: "chains to a conflict", req: Request{Packages: []string{"a", "x"}},
			packages: []string{stanza("a 1", "Depends: b"), stanza("b 1", "Depends: c"), stanza("c 1", "Conflicts: mail"), stanza("x 1", "Depends: y"), stanza("y 1", "Provides: mail")},
			text:     []string{"a 1 (requested) -> b 1 -> c 1 conflicts with mail, but x 1 (requested) -> y 1 is needed"}},
		{name: "chain to a break", req: Request{Packages: []string{"a", "b"}},
			packages: []string{stanza("a 1", "Breaks: b (<= 3)"), stanza("b 3")},
			text:     []string{"a 1 (requested) breaks b (<= 3), but b 3 (requested) is needed"}},
		{name: "two versions of one package", req: Request{Packages: []string{"a", "b"}},
			packages: []string{stanza("a 1", "Depends: c (= 1)"), stanza("b 1", "Depends: c (= 2)"), stanza("c 1"), stanza("c 2")},
			text:     []string{"excludes another version of c", "a 1 (requested) -> c 1", "b 1 (requested) -> c 2"}},
		{name: "every alternative fails", req: Request{Packages: []string{"a", "z"}},
			packages: []string{stanza("a 1", "Depends: b | c"), stanza("b 1", "Depends: gone"), stanza("c 1", "Conflicts: z"), stanza("z 1")},
			text:     []string{"b 1 depends on gone: the suites have no gone", "c 1 conflicts with z"}},
		{name: "given packages are taken as they are", req: Request{Packages: []string{"a"}, Given: given("b=1", "old=1")},
			packages: []string{stanza("a 1", "Depends: b, v (>= 1), w"), stanza("b 2", "Depends: gone", "Provides: v (= 2)"), stanza("b 0"), stanza("w 1"), stanza("v 9")},
			want:     "a=1 b=1 old=1 w=1"},
		{name: "given package that is too old", req: Request{Packages: []string{"a"}, Given: given("b=1")},
			packages: []string{stanza("a 1", "Depends: b (>= 2)"), stanza("b 2")},
			text:     []string{"a 1 (requested) depends on b (>= 2): of b there is only 1"}},
		{name: "nothing is essential", req: Request{Essential: true}, packages: []string{stanza("a 1")}, text: []string{"no package is marked essential"}},
		{name: "bad pattern", req: Request{Packages: []string{"a"}, Assume: []string{"["}}, packages: []string{stanza("a 1")}, text: []string{`assumed package "["`}},
		{name: "bad field", req: Request{Packages: []string{"a"}}, packages: []string{stanza("a 1", "Depends: b (")}, text: []string{`the dependencies of package "a_1_riscv64"`}},
		{name: "other architecture", req: Request{Arch: "sparc", Packages: []string{"a"}}, packages: []string{stanza("a 1")}, text: []string{`"sparc"`, "not opened"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ix := indexOf(t, tt.packages...)
			if tt.req.Arch == "" {
				tt.req.Arch = "riscv64"
			}
			got, err := Resolve(context.Background(), ix, tt.req)
			if tt.text == nil {
				if err != nil || names(got) != tt.want {
					t.Fatalf("got %q, %v; want %q", names(got), err, tt.want)
				}
				return
			}
			if err == nil {
				t.Fatalf("got %q, want an error", names(got))
			}
			for _, part := range tt.text {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("message lacks %q:\n%v", part, err)
				}
			}
		})
	}
}

func TestResolveDepends(t *testing.T) {
	ix := indexOf(t, stanza("a 1", "Pre-Depends: b", "Depends: b (>= 1), virt, c | b"), stanza("b 1"), stanza("c 1"), stanza("p 2", "Provides: virt", "Depends: c"))
	got, err := Resolve(context.Background(), ix, Request{Arch: "riscv64", Packages: []string{"a"}})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{
		"a_1_riscv64": {"b_1_riscv64", "c_1_riscv64", "p_2_riscv64"},
		"b_1_riscv64": {}, "c_1_riscv64": {}, "p_2_riscv64": {"c_1_riscv64"},
	}
	depends := map[string][]string{}
	for _, p := range got {
		depends[p.ID] = p.Depends
	}
	if !reflect.DeepEqual(depends, want) {
		t.Errorf("got %v, want %v", depends, want)
	}
	if got[0].SHA256 == "" || got[0].Archive != ArchiveDebian || got[0].Path != "pool/main/a/a/a_1_riscv64.deb" || got[0].Size != 100 {
		t.Errorf("got %+v", got[0])
	}
}

func TestResolveErrorExit(t *testing.T) {
	_, err := Resolve(context.Background(), indexOf(t, stanza("a 1")), Request{Arch: "riscv64", Packages: []string{"b", "b"}})
	var bad *ResolveError
	if !errors.As(err, &bad) || bad.ExitCode() != 2 || !slices.Equal(bad.Packages, []string{"b"}) || len(bad.Problems) != 1 {
		t.Errorf("got %#v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Resolve(ctx, indexOf(t, stanza("a 1")), Request{Arch: "riscv64", Packages: []string{"a"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestResolveAgainstExhaustion compares the solver with trying every subset,
// on small random archives: it finds a solution exactly if there is one, the
// solution is right, and it is the same each time.
func TestResolveAgainstExhaustion(t *testing.T) {
	solved := 0
	for seed := range uint64(500) {
		stanzas := randomArchive(rand.New(rand.NewPCG(seed, 1)))
		ix := indexOf(t, stanzas...)
		req := Request{Arch: "riscv64", Packages: []string{"p0", "p1"}}
		got, err := Resolve(context.Background(), ix, req)
		again, _ := Resolve(context.Background(), indexOf(t, stanzas...), req)
		if !reflect.DeepEqual(got, again) {
			t.Fatalf("seed %d: two results: %s and %s", seed, names(got), names(again))
		}
		a := ix.arches["riscv64"]
		possible := false
		for set := range 1 << len(a.entries) {
			possible = possible || fits(t, a, subset(a, set), req.Packages)
		}
		if possible != (err == nil) {
			t.Fatalf("seed %d: a solution exists: %v, but Resolve says %v\n%s", seed, possible, err, strings.Join(stanzas, "\n"))
		}
		if err != nil {
			var bad *ResolveError
			if !errors.As(err, &bad) || len(bad.Problems) == 0 {
				t.Fatalf("seed %d: no chain is told: %v", seed, err)
			}
			continue
		}
		solved++
		chosen := map[*entry]bool{}
		for _, p := range got {
			i := slices.IndexFunc(a.entries, func(e *entry) bool { return e.id() == p.ID })
			chosen[a.entries[i]] = true
		}
		if !fits(t, a, chosen, req.Packages) {
			t.Fatalf("seed %d: %s is no solution\n%s", seed, names(got), strings.Join(stanzas, "\n"))
		}
	}
	if solved < 50 || solved > 450 {
		t.Errorf("%d of 500 archives have a solution: the test sees one side only", solved)
	}
}

func randomArchive(r *rand.Rand) []string {
	const n = 6
	pick := func() string { return fmt.Sprintf("p%d", r.IntN(n)) }
	relation := func() string {
		op := []string{"", "", " (>= 2)", " (<< 2)", " (= 1)"}[r.IntN(5)]
		return []string{pick(), pick(), "v"}[r.IntN(3)] + op
	}
	var out []string
	for i := range n {
		for v := 1; v <= 1+r.IntN(2); v++ {
			var fields []string
			if r.IntN(3) > 0 {
				fields = append(fields, "Depends: "+relation()+" | "+relation()+", "+relation())
			}
			if r.IntN(3) == 0 {
				fields = append(fields, "Conflicts: "+relation())
			}
			if r.IntN(4) == 0 {
				fields = append(fields, "Breaks: "+relation())
			}
			if r.IntN(4) == 0 {
				fields = append(fields, []string{"Provides: v", "Provides: v (= 2)"}[r.IntN(2)])
			}
			out = append(out, stanza(fmt.Sprintf("p%d %d", i, v), fields...))
		}
	}
	return out
}

func subset(a *archIndex, bits int) map[*entry]bool {
	out := map[*entry]bool{}
	for i, e := range a.entries {
		if bits>>i&1 == 1 {
			out[e] = true
		}
	}
	return out
}

// fits checks a set of packages by the words of the policy manual, without
// the code that Resolve uses but for the comparison of versions.
func fits(t *testing.T, a *archIndex, set map[*entry]bool, wanted []string) bool {
	t.Helper()
	for _, w := range wanted {
		if !slices.ContainsFunc(a.entries, func(e *entry) bool { return set[e] && e.name == w }) {
			return false
		}
	}
	meets := func(text string, e *entry) bool {
		name, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
		op, num, _ := strings.Cut(strings.Trim(rest, "()"), " ")
		holds := func(have string) bool {
			if op == "" {
				return true
			}
			x, err := version.Parse(have)
			y, err2 := version.Parse(num)
			if err != nil || err2 != nil {
				return false
			}
			c := version.Compare(x, y)
			return op == ">=" && c >= 0 || op == "<<" && c < 0 || op == "=" && c == 0
		}
		provided, num2, versioned := strings.Cut(e.provides, " (= ")
		return e.name == name && holds(e.version) ||
			provided == name && (op == "" || versioned && holds(strings.TrimSuffix(num2, ")")))
	}
	for e := range set {
		for other := range set {
			if other != e && other.name == e.name {
				return false
			}
			for _, clash := range []string{e.conflicts, e.breaks} {
				if clash != "" && other.name != e.name && meets(clash, other) {
					return false
				}
			}
		}
		for part := range strings.SplitSeq(e.depends, ",") {
			met := part == ""
			for alt := range strings.SplitSeq(part, "|") {
				for other := range set {
					met = met || meets(alt, other)
				}
			}
			if !met {
				return false
			}
		}
	}
	return true
}

func TestAssumePattern(t *testing.T) {
	u := newUniverse(&archIndex{}, Request{Assume: []string{"*-riscv64-cross"}})
	for name, want := range map[string]bool{"libc6-riscv64-cross": true, "libc6-dev": false} {
		if got := u.assumed(name); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
		if ok, _ := path.Match("*-riscv64-cross", name); ok != want {
			t.Errorf("%s: pattern gives %v", name, ok)
		}
	}
}
