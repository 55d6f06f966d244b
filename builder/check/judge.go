package check

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/recipes"
)

// Options are what a recipe says about the check.
type Options struct {
	Profile string          // ISA string or profile name; default DefaultProfile
	Allow   []recipes.Allow // files that may want more
	Setuid  []string        // path patterns of files that may have setuid or setgid
	Cache   Cache           // of facts per layer; nil: none
}

// Image reads an image from a content store and judges it. The error is for
// what could not be read; what is wrong with the image is in the report, whose
// Err lists it.
func Image(ctx context.Context, provider content.Provider, desc ocispec.Descriptor, opt Options) (*Report, error) {
	c, err := Load(ctx, provider, desc, opt.Cache)
	var platform *PlatformError
	if errors.As(err, &platform) {
		have := strings.Join(platform.Have, ", ")
		return &Report{Platform: have, Findings: []Finding{platformFinding("the image index holds " + have)}}, nil
	}
	if err != nil {
		return nil, err
	}
	return Judge(c.Config, c.Layers, opt)
}

// Judge applies the rules to an image's configuration and layers, the lowest
// first. The error is about the options; the report's Err is about the image.
func Judge(config ocispec.Image, layers []*LayerFacts, opt Options) (*Report, error) {
	if opt.Profile == "" {
		opt.Profile = DefaultProfile
	}
	profile, err := parseISA(opt.Profile)
	if err != nil {
		return nil, err
	}
	allows, err := parseAllows(opt.Allow)
	if err != nil {
		return nil, err
	}
	tree := NewTree(layers)
	j := &judge{
		config: config, tree: tree, profile: profile, opt: opt, allows: allows,
		report: &Report{
			Platform: config.OS + "/" + config.Architecture, Profile: opt.Profile,
			Layers: len(layers), ISA: []string{}, Findings: slices.Clone(tree.problems),
		},
	}
	j.platform(layers)
	j.files()
	j.closure()
	j.entrypoint()
	j.unused()
	j.report.finish()
	return j.report, nil
}

type judge struct {
	config  ocispec.Image
	tree    *Tree
	profile isa
	opt     Options
	allows  []*allow
	report  *Report
	elves   []located // every loadable ELF file once
}

type located struct {
	path string
	file *File
}

func (j *judge) bad(p, rule, what, do string) {
	j.report.Findings = append(j.report.Findings, Finding{SeverityError, p, rule, what, do})
}

func (j *judge) note(p, rule, what, do string) {
	j.report.Findings = append(j.report.Findings, Finding{SeverityNote, p, rule, what, do})
}

func platformFinding(what string) Finding {
	return Finding{
		Severity: SeverityError, Rule: "platform", What: what + ", not linux/riscv64",
		Do: "build the image from a recipe, or take one that is published for linux/riscv64",
	}
}

func (j *judge) platform(layers []*LayerFacts) {
	if j.report.Platform != "linux/riscv64" {
		j.report.Findings = append(j.report.Findings, platformFinding("the configuration says "+j.report.Platform))
	}
	ids := j.config.RootFS.DiffIDs
	if len(ids) != len(layers) {
		j.bad("", "diff-id", fmt.Sprintf("the configuration names %s, the manifest %d", plural(len(ids), "layer"), len(layers)),
			"build or fetch the image again")
		return
	}
	for i, layer := range layers {
		if ids[i].String() != layer.DiffID {
			j.bad("", "diff-id", fmt.Sprintf("layer %d is %s uncompressed, the configuration says %s", i+1, layer.DiffID, ids[i]),
				"build or fetch the image again")
		}
	}
}

// files looks at every file by itself. Hard links are one file: it is reported
// once, at its first path.
func (j *judge) files() {
	seen := map[*File]bool{}
	j.tree.Walk(func(p string, f *File) {
		if seen[f] {
			return
		}
		seen[f] = true
		j.modes(p, f)
		if f.Type != TypeFile {
			return
		}
		j.report.Files++
		if f.ELF != nil {
			j.report.ELF++
			j.elf(p, f)
		}
	})
}

// modes looks for permissions that should surprise the owner of an image.
func (j *judge) modes(p string, f *File) {
	if f.Type == TypeSymlink || f.Type == TypeDevice {
		return // a link has no mode of its own, and /dev is the runtime's
	}
	if f.Mode&0o002 != 0 && f.Mode&0o1000 == 0 {
		j.bad(p, "world-writable", fmt.Sprintf("is a %s that everyone may write (mode %04o)", f.Type, f.Mode),
			fmt.Sprintf("give it mode %04o or an owner, or the sticky bit if everyone must write there", f.Mode&^0o002))
	}
	if f.Type != TypeFile {
		return
	}
	if bits := f.Mode & 0o6000; bits != 0 && !j.namedSetuid(p) {
		name := map[int64]string{0o4000: "setuid", 0o2000: "setgid", 0o6000: "setuid and setgid"}[bits]
		j.bad(p, "setuid", fmt.Sprintf("is %s (mode %04o, owner %d:%d) and the recipe does not name it", name, f.Mode, f.UID, f.GID),
			"name it in image.setuid if the image needs it, or leave it out with image.exclude")
	}
	if f.Caps {
		j.note(p, "capability", "has file capabilities", "")
	}
}

// namedSetuid compares resolved paths too: the recipe may say /bin/su where
// /bin is a link to usr/bin.
func (j *judge) namedSetuid(p string) bool {
	return slices.ContainsFunc(j.opt.Setuid, func(pattern string) bool {
		real, ok := j.tree.Resolve(pattern)
		return ok && real == p || matchPath(pattern, p)
	})
}

// matchPath matches a path against a pattern of path.Match; "/**" at the end
// means everything below.
func matchPath(pattern, p string) bool {
	if dir, ok := strings.CutSuffix(pattern, "/**"); ok {
		return dir == "" || strings.HasPrefix(p, dir+"/")
	}
	ok, err := path.Match(pattern, p)
	return err == nil && ok
}

// allow is one [[check.allow]] of the recipe.
type allow struct {
	recipes.Allow
	isa   isa
	names []string // what ISA lists if it is no ISA string: extensions, or machines
	used  bool     // it kept a finding away
}

func parseAllows(in []recipes.Allow) ([]*allow, error) {
	var out []*allow
	for _, a := range in {
		parsed := &allow{Allow: a}
		text := strings.ToLower(strings.TrimSpace(a.ISA))
		if strings.HasPrefix(text, "rv") {
			set, err := parseISA(text)
			if err != nil {
				return nil, fmt.Errorf("reading check.allow of %q: %w", a.Path, err)
			}
			parsed.isa = set
		} else {
			parsed.names = strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" ,_+", r) })
			parsed.isa = isa{}
			for _, name := range parsed.names {
				parsed.isa.add(extensionName(name))
			}
		}
		out = append(out, parsed)
	}
	return out, nil
}

// allowed says whether some [[check.allow]] for the path holds. All that match
// are asked, so that none is called unused wrongly.
func (j *judge) allowed(p string, holds func(*allow) bool) bool {
	found := false
	for _, a := range j.allows {
		if j.allowPath(a.Path, p) && holds(a) {
			a.used, found = true, true
		}
	}
	return found
}

func (j *judge) allowPath(pattern, p string) bool {
	real, ok := j.tree.Resolve(pattern)
	return ok && real == p || matchPath(pattern, p)
}

func (j *judge) unused() {
	for _, a := range j.allows {
		if !a.used {
			j.note(a.Path, "allow", "is allowed more by the recipe than it wants", "remove this check.allow")
		}
	}
}
