// Package imagerefs finds the names of container images in the YAML files that
// say what a cluster or a machine runs: Kubernetes manifests, also as Helm
// prints them, and Compose files. It knows where each name stands, and neither
// asks registries nor judges what it finds.
package imagerefs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/compose-spec/compose-go/v2/template"
	names "github.com/distribution/reference"
	"go.yaml.in/yaml/v3"
)

// Ref is one place where an image is named.
type Ref struct {
	Name    string `json:"-"` // as written, with variables of a Compose file replaced
	Image   string `json:"-"` // the same in full, see Normal; "" if it is no name
	File    string `json:"file"`
	Line    int    `json:"line"`
	In      string `json:"in,omitempty"` // "Deployment/web", "service web"
	Problem string `json:"-"`            // why it is no name
}

// Lookup gives the value of a variable, and whether it is set.
type Lookup func(name string) (string, bool)

// Parse lists the images that a file names, in the order of the file. It may
// hold several YAML documents. Of each, every sequence under containers,
// initContainers and ephemeralContainers counts, however deep it stands, and
// every volume that is an image (Kubernetes API, core/v1 PodSpec); of a Compose
// file every service with an image that it does not build itself, with
// variables as Compose replaces them.
func Parse(file string, data []byte, env Lookup) ([]Ref, error) {
	f := &finder{file: file, env: env}
	dec := yaml.NewDecoder(bytes.NewReader(manifestsOnly(data)))
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return f.refs, nil
		}
		if err != nil {
			advice := "correct the YAML"
			if bytes.Contains(data, []byte("{{")) {
				advice = "a chart's templates are read as `helm template` prints them"
			}
			return nil, fmt.Errorf("reading %q: %w: %s", file, err, advice)
		}
		if len(doc.Content) > 0 {
			f.document(doc.Content[0])
		}
	}
}

// manifestsOnly blanks what `helm install --dry-run` and `helm get all` print
// around the manifests, line by line so that positions stay.
func manifestsOnly(data []byte) []byte {
	if !bytes.HasPrefix(data, []byte("NAME:")) || !bytes.Contains(data, []byte("\nMANIFEST:")) {
		return data
	}
	lines := bytes.Split(data, []byte("\n"))
	inside := false
	for i, line := range lines {
		switch word := string(bytes.TrimRight(line, " \r")); word {
		case "HOOKS:", "MANIFEST:", "NOTES:":
			inside, lines[i] = word != "NOTES:", nil
		}
		if !inside {
			lines[i] = nil
		}
	}
	return bytes.Join(lines, []byte("\n"))
}

type finder struct {
	file string
	env  Lookup
	refs []Ref
}

func (f *finder) document(doc *yaml.Node) {
	services := deref(field(doc, "services"))
	if services != nil && services.Kind == yaml.MappingNode && field(doc, "kind") == nil {
		f.compose(services)
		return
	}
	f.walk(doc, "")
}

// containerLists are the keys under which Kubernetes has containers.
var containerLists = []string{"containers", "initContainers", "ephemeralContainers"}

// walk looks for pods wherever they stand. Aliases are not followed but for
// what is looked up by name: what they mean stands in the file as well.
func (f *finder) walk(n *yaml.Node, in string) {
	if n.Kind == yaml.MappingNode {
		if kind := text(field(n, "kind")); kind != "" {
			in = kind
			if name := text(field(field(n, "metadata"), "name")); name != "" {
				in += "/" + name
			}
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i].Value, deref(n.Content[i+1])
			switch {
			case value == nil || value.Kind != yaml.SequenceNode:
			case slices.Contains(containerLists, key):
				for _, c := range value.Content {
					f.add(field(c, "image"), in)
				}
			case key == "volumes":
				for _, v := range value.Content {
					f.add(field(field(v, "image"), "reference"), in)
				}
			}
		}
	}
	for _, child := range n.Content {
		if child.Kind != yaml.AliasNode {
			f.walk(child, in)
		}
	}
}

func (f *finder) add(image *yaml.Node, in string) {
	if image != nil && image.Kind != yaml.ScalarNode {
		f.refs = append(f.refs, Ref{Name: "?", File: f.file, Line: image.Line, In: in,
			Problem: "a name is a text; a chart's templates are read as `helm template` prints them"})
	} else if name := text(image); name != "" {
		ref := f.ref(name, image.Line)
		ref.In = in
		f.refs = append(f.refs, ref)
	}
}

// ref completes a name.
func (f *finder) ref(name string, line int) Ref {
	r := Ref{Name: name, File: f.file, Line: line}
	var err error
	if r.Image, err = Normal(name); err != nil {
		r.Problem = err.Error()
	}
	return r
}

// Normal completes an image name as docker does: registry docker.io, namespace
// library, tag latest. Of a name with tag and digest the digest counts.
func Normal(name string) (string, error) {
	n, err := names.ParseDockerRef(name)
	if err != nil {
		return "", err
	}
	return n.String(), nil
}

// compose takes the images of services (Compose specification, "image").
func (f *finder) compose(services *yaml.Node) {
	for i := 0; i+1 < len(services.Content); i += 2 {
		service := services.Content[i+1]
		image := field(service, "image")
		if text(image) == "" || field(service, "build") != nil {
			continue // what it builds is nobody's to have
		}
		var unset []string
		name, err := template.SubstituteWithOptions(image.Value, func(v string) (string, bool) {
			value, ok := f.env(v)
			if !ok {
				unset = append(unset, v)
			}
			return value, ok
		}, template.WithoutLogging)
		ref := f.ref(name, image.Line)
		ref.In = "service " + services.Content[i].Value
		switch {
		case err != nil:
			ref.Name, ref.Image, ref.Problem = image.Value, "", err.Error()
		case ref.Problem != "" && len(unset) > 0:
			ref.Name, ref.Problem = image.Value, fmt.Sprintf("variable %q is not set", unset[0])
		}
		f.refs = append(f.refs, ref)
	}
}

// text is the value of a scalar; "" of anything else, and of null.
func text(n *yaml.Node) string {
	if n == nil || n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		return ""
	}
	return n.Value
}

// deref follows an alias.
func deref(n *yaml.Node) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// field gives a key's value in a mapping, or in what is merged into it (YAML
// merge keys, "<<"); nil where there is none.
func field(n *yaml.Node, key string) *yaml.Node { return lookUp(n, key, map[*yaml.Node]bool{}) }

// lookUp visits no node twice: merges may lead in circles, or by ever more ways
// to the same place.
func lookUp(n *yaml.Node, key string, seen map[*yaml.Node]bool) *yaml.Node {
	n = deref(n)
	if n == nil || n.Kind != yaml.MappingNode || seen[n] {
		return nil
	}
	seen[n] = true
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		switch k, value := n.Content[i], deref(n.Content[i+1]); {
		case k.Value == key:
			return value
		case k.Tag == "!!merge" && value.Kind == yaml.SequenceNode:
			merged = append(merged, value.Content...)
		case k.Tag == "!!merge":
			merged = append(merged, value)
		}
	}
	for _, m := range merged {
		if found := lookUp(m, key, seen); found != nil {
			return found
		}
	}
	return nil
}
