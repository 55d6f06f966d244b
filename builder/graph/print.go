package graph

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
)

// Formats are the formats of Print.
var Formats = []string{"text", "json", "dot", "llb"}

// Vertex is one operation of a graph as Print shows it.
type Vertex struct {
	Digest   digest.Digest `json:"digest"`
	Name     string        `json:"name"`
	Kind     string        `json:"kind"` // source | exec | diff | ...
	Platform string        `json:"platform,omitempty"`
	Inputs   []string      `json:"inputs,omitempty"`
	Source   string        `json:"source,omitempty"`
	Args     []string      `json:"args,omitempty"`
	Env      []string      `json:"env,omitempty"`
	Network  string        `json:"network,omitempty"`
	Mounts   []string      `json:"mounts,omitempty"`
}

// Print writes a marshalled definition: text for people, json for scripts, dot
// for graphviz, llb as the bytes themselves (what `buildctl build` reads).
func Print(w io.Writer, def []byte, format string) error {
	if format == "llb" {
		_, err := w.Write(def)
		return err
	}
	vs, err := Vertices(def)
	if err != nil {
		return err
	}
	switch format {
	case "text":
		return printText(w, vs)
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(vs)
	case "dot":
		return printDot(w, vs)
	}
	return fmt.Errorf("printing the graph as %q: the formats are %s", format, strings.Join(Formats, ", "))
}

// Vertices lists the operations of a definition, inputs before their users.
func Vertices(def []byte) ([]Vertex, error) {
	var d pb.Definition
	if err := d.UnmarshalVT(def); err != nil {
		return nil, fmt.Errorf("reading the graph: %w", err)
	}
	var out []Vertex
	for _, raw := range d.Def {
		var op pb.Op
		if err := op.UnmarshalVT(raw); err != nil {
			return nil, fmt.Errorf("reading an operation of the graph: %w", err)
		}
		v := Vertex{Digest: digest.FromBytes(raw)}
		if m := d.Metadata[v.Digest.String()]; m != nil {
			v.Name = m.Description["llb.customname"]
		}
		describe(&v, &op)
		out = append(out, v)
	}
	return out, nil
}

func describe(v *Vertex, op *pb.Op) {
	for _, in := range op.Inputs {
		v.Inputs = append(v.Inputs, in.Digest)
	}
	if p := op.Platform; p != nil {
		v.Platform = p.OS + "/" + p.Architecture
	}
	switch o := op.Op.(type) {
	case *pb.Op_Source:
		v.Kind, v.Source = "source", o.Source.Identifier
	case *pb.Op_Exec:
		v.Kind, v.Args, v.Env = "exec", o.Exec.Meta.Args, o.Exec.Meta.Env
		v.Network = strings.ToLower(o.Exec.Network.String())
		for _, m := range o.Exec.Mounts {
			v.Mounts = append(v.Mounts, mountLine(m))
		}
	case *pb.Op_Diff:
		v.Kind = "diff"
	case *pb.Op_Merge:
		v.Kind = "merge"
	case *pb.Op_File:
		v.Kind = "file"
	case nil:
		v.Kind, v.Name = "result", "result"
	}
}

func mountLine(m *pb.Mount) string {
	s := m.Dest + " " + strings.ToLower(m.MountType.String())
	if m.Readonly {
		s += " ro"
	}
	return s
}

func short(d string) string {
	_, hex, _ := strings.Cut(d, ":")
	return hex[:min(12, len(hex))]
}

func printText(w io.Writer, vs []Vertex) error {
	for _, v := range vs {
		var in []string
		for _, i := range v.Inputs {
			in = append(in, short(i))
		}
		line := fmt.Sprintf("%s %-6s %-13s %s", short(v.Digest.String()), v.Kind, v.Platform, v.Name)
		if len(in) > 0 {
			line += "  <- " + strings.Join(in, " ")
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " ")); err != nil {
			return err
		}
		if v.Source != "" {
			fmt.Fprintf(w, "    %s\n", v.Source)
		}
		if v.Kind == "exec" {
			fmt.Fprintf(w, "    network %s; %s\n", v.Network, strings.Join(v.Mounts, "; "))
			script := strings.TrimPrefix(strings.Join(v.Args[min(2, len(v.Args)):max(2, len(v.Args)-1)], "\n"), prelude)
			for _, l := range strings.Split(strings.TrimSpace(script), "\n") {
				fmt.Fprintf(w, "    | %s\n", l)
			}
		}
	}
	return nil
}

func printDot(w io.Writer, vs []Vertex) error {
	fmt.Fprintln(w, "digraph {")
	for _, v := range vs {
		fmt.Fprintf(w, "  %q [label=%q shape=box]\n", short(v.Digest.String()), strings.TrimSpace(v.Kind+" "+v.Platform+"\n"+v.Name))
		for _, in := range v.Inputs {
			fmt.Fprintf(w, "  %q -> %q\n", short(in), short(v.Digest.String()))
		}
	}
	_, err := fmt.Fprintln(w, "}")
	return err
}
