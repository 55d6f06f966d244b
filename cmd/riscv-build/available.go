package main

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	names "github.com/distribution/reference"
	"golang.org/x/sync/errgroup"

	"github.com/riscv-build/riscv-build/pusher"
	"github.com/riscv-build/riscv-build/pusher/imagerefs"
	"github.com/riscv-build/riscv-build/recipes"
)

const (
	askTogether = 4                // images asked about at a time
	askTime     = 30 * time.Second // for one question to a registry
)

// The states of an answer, and the verdicts on an image.
const (
	stateYes     = "yes"
	stateNo      = "no"
	stateUnknown = "unknown" // the registry could not be asked
	stateUnasked = "not asked"
)

// answer says whether linux/riscv64 is at one place.
type answer struct {
	State     string   `json:"state"`               // yes, no, unknown, not asked
	Found     string   `json:"found,omitempty"`     // what there is: an image name, or recipe and version
	Platforms []string `json:"platforms,omitempty"` // of what there is
	Reason    string   `json:"reason,omitempty"`
}

// availability is where an image for linux/riscv64 is to be had.
type availability struct {
	Image     string          `json:"image"`    // in full
	Verdict   string          `json:"verdict"`  // yes: somewhere; no: nowhere; unknown: nowhere that could be asked
	Upstream  answer          `json:"upstream"` // the registry that the name says
	Registry  answer          `json:"registry"` // the private one
	Catalogue answer          `json:"catalogue"`
	At        []imagerefs.Ref `json:"at,omitempty"`
}

// asker asks registries about images, each host that does not answer once.
type asker struct {
	push   *pusher.Pusher
	target string // [SCHEME]HOST[:PORT] of the private registry; "" without one
	host   string // the same without the scheme
	prefix string
	own    bool // ask the private registry only

	mu   sync.Mutex
	dead map[string]string // why a host gives no answer
}

func newAsker(p *place, target string) (*asker, error) {
	a := &asker{push: newPusher(p), dead: map[string]string{}}
	target, err := p.registry(target)
	if err != nil || target == "" {
		return a, err
	}
	a.target, a.prefix, err = pusher.ParseTarget(target)
	a.host = a.target
	if _, rest, ok := strings.Cut(a.target, "://"); ok {
		a.host = rest
	}
	return a, err
}

// all completes the answers for images, a few at a time.
func (a *asker) all(ctx context.Context, images []*availability) error {
	var group errgroup.Group
	group.SetLimit(askTogether)
	for _, i := range images {
		group.Go(func() error {
			a.ask(ctx, i)
			return nil
		})
	}
	_ = group.Wait() // what went wrong is in the answers
	return ctx.Err()
}

func (a *asker) ask(ctx context.Context, i *availability) {
	none := answer{State: stateUnasked}
	i.Upstream, i.Registry, i.Catalogue = none, none, none
	named, err := names.ParseNormalizedNamed(i.Image)
	if err != nil {
		i.Verdict = stateNo // nobody can pull it; Upstream says why
		i.Upstream = answer{State: stateNo, Reason: err.Error()}
		if len(i.At) > 0 && i.At[0].Problem != "" {
			i.Upstream.Reason = i.At[0].Problem
		}
		return
	}
	i.Catalogue = inCatalogue(named)
	switch {
	case names.Domain(named) == a.host: // the name says the private registry itself
		i.Registry = a.at(ctx, a.target+strings.TrimPrefix(named.String(), a.host))
	default:
		if !a.own {
			i.Upstream = a.at(ctx, named.String())
		}
		i.Registry = a.private(ctx, named)
	}
	states := []string{i.Upstream.State, i.Registry.State, i.Catalogue.State}
	switch {
	case slices.Contains(states, stateYes):
		i.Verdict = stateYes
	case slices.Contains(states, stateUnknown), a.own && i.Upstream.State == stateUnasked:
		i.Verdict = stateUnknown
	default:
		i.Verdict = stateNo
	}
}

// at asks a registry about one name.
func (a *asker) at(ctx context.Context, ref string) answer {
	_, plain, ok := strings.Cut(ref, "://")
	if !ok {
		plain = ref
	}
	host, _, _ := strings.Cut(plain, "/")
	a.mu.Lock()
	reason, dead := a.dead[host]
	a.mu.Unlock()
	if dead {
		return answer{State: stateUnknown, Reason: reason}
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	platforms, err := a.push.Platforms(ctx, ref)
	switch {
	case pusher.IsNotFound(err):
		return answer{State: stateNo, Reason: "there is no such image"}
	case err != nil:
		if pusher.Unreachable(err) || errors.Is(err, context.DeadlineExceeded) {
			a.mu.Lock()
			a.dead[host] = err.Error()
			a.mu.Unlock()
		}
		return answer{State: stateUnknown, Reason: err.Error()}
	case pusher.Riscv64(platforms):
		return answer{State: stateYes, Found: plain, Platforms: platforms}
	}
	only := strings.Join(platforms, ", ")
	if only == "" {
		only = "no platform"
	}
	return answer{State: stateNo, Found: plain, Platforms: platforms, Reason: "it is there for " + only + " only"}
}

// private looks for an image under the names that it may have at the private
// registry.
func (a *asker) private(ctx context.Context, named names.Named) answer {
	if a.target == "" {
		return answer{State: stateUnasked}
	}
	best := answer{State: stateNo, Reason: "there is no such image"}
	for _, repository := range privateNames(named) {
		if a.prefix != "" {
			repository = a.prefix + "/" + repository
		}
		got := a.at(ctx, a.target+"/"+repository+strings.TrimPrefix(named.String(), named.Name()))
		if got.State == stateYes {
			return got
		}
		if best.Found == "" && (got.Found != "" || got.State == stateUnknown) {
			best = got
		}
	}
	return best
}

// privateNames are the repositories under which a private registry may have an
// image: that of its own name, as a mirror has it; riscv64/NAME, as recipes push
// it; and its name after that of its registry, as some caches have it.
func privateNames(named names.Named) []string {
	path := names.Path(named)
	list := []string{path, "riscv64/" + path}
	if host, _, _ := strings.Cut(names.Domain(named), ":"); host != "" && host[0] != '[' {
		list = append(list, host+"/"+path) // no port: a colon cannot stand in a repository
	}
	if name, ok := libraryName(path); ok {
		list = append(list, "riscv64/"+name, name)
	}
	return list
}

// libraryName is the name of an image of Docker's library or of Rancher's, under
// which it is known also where it was copied to; false for all others.
func libraryName(path string) (string, bool) {
	parts := strings.Split(path, "/")
	name := parts[len(parts)-1]
	if copied, ok := strings.CutPrefix(name, "mirrored-"); ok { // as Rancher names its copies
		return copiedName(copied), true
	}
	return name, len(parts) == 1 || slices.Contains([]string{"library", "riscv64", "rancher"}, parts[len(parts)-2])
}

// copiedName is the image's own name in that of a copy: library-NAME, NAME-NAME
// where an organisation is called as its image is, or NAME.
func copiedName(name string) string {
	if rest, ok := strings.CutPrefix(name, "library-"); ok {
		return rest
	}
	if half := len(name) / 2; len(name)%2 == 1 && name[half] == '-' && name[:half] == name[half+1:] {
		return name[:half]
	}
	return name
}

// inCatalogue looks for a recipe of the version that an image's tag asks for. A
// tag's variant ("-alpine") is not asked for.
func inCatalogue(named names.Named) answer {
	name, ok := libraryName(names.Path(named))
	has := answer{State: stateNo}
	for _, recipe := range recipes.Catalog() {
		if !ok || has.State == stateYes && has.Reason == "" {
			break
		}
		r, err := recipes.LoadCatalog(recipe)
		if err != nil {
			return answer{State: stateUnknown, Reason: err.Error()}
		}
		if path.Base(r.Push.Repository) != name {
			continue
		}
		if next := isIn(r, named); has.State == stateNo {
			has = next
		}
	}
	return has
}

// isIn tells whether a recipe makes the version that an image's tag asks for.
func isIn(r *recipes.Recipe, named names.Named) answer {
	has := answer{State: stateNo, Found: r.Name + " " + r.Version}
	tagged, ok := named.(names.NamedTagged)
	if !ok {
		has.Reason = "the image is named by its digest"
		return has
	}
	tag, variant, _ := strings.Cut(tagged.Tag(), "-")
	switch {
	case slices.Contains(r.Push.Tags, tagged.Tag()):
		has.State = stateYes
	case slices.Contains(r.Push.Tags, tag), r.Version == tag, strings.HasPrefix(r.Version, tag+"."):
		has.State = stateYes
		if variant != "" {
			has.Reason = fmt.Sprintf("not in its variant %q", variant)
		}
	default:
		has.Reason = "it is another version"
	}
	return has
}
