package tests

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// The budgets of the house. Tests may be longer; they are data for the most part.
const (
	maxFileLines     = 400
	maxFunctionLines = 60
	maxParameters    = 4
	maxOptionFields  = 12
)

// imposed are methods whose parameters an interface of a library dictates.
var imposed = map[string]string{
	"builder/engine/embedded Run":           "executor.Executor of BuildKit",
	"pusher/registry GetBlobRange":          "ociregistry.Interface",
	"pusher/registry PushBlobChunkedResume": "ociregistry.Interface",
}

// source is one parsed Go file.
type source struct {
	path  string // below the top of the checkout
	fset  *token.FileSet
	file  *ast.File
	lines int
}

// sources parses every Go file of the module, whatever its build constraints.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(root(), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != root() && (strings.HasPrefix(name, ".") || name == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(name) != ".go" {
			return nil
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root(), path)
		all = append(all, source{path: rel, fset: fset, file: f, lines: fset.File(f.Pos()).LineCount()})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (s source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

func TestBudgets(t *testing.T) {
	for _, s := range sources(t) {
		if s.isTest() {
			continue
		}
		if s.lines > maxFileLines {
			t.Errorf("%s has %d lines, more than %d", s.path, s.lines, maxFileLines)
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				s.function(t, n)
			case *ast.TypeSpec:
				s.options(t, n)
			}
			return true
		})
	}
}

func (s source) function(t *testing.T, f *ast.FuncDecl) {
	t.Helper()
	from, to := s.fset.Position(f.Pos()), s.fset.Position(f.End())
	if lines := to.Line - from.Line + 1; lines > maxFunctionLines {
		t.Errorf("%s:%d: func %s has %d lines, more than %d", s.path, from.Line, f.Name.Name, lines, maxFunctionLines)
	}
	_, dictated := imposed[filepath.ToSlash(filepath.Dir(s.path))+" "+f.Name.Name]
	if n := f.Type.Params.NumFields(); n > maxParameters && (f.Recv == nil || !dictated) {
		t.Errorf("%s:%d: func %s has %d parameters, more than %d", s.path, from.Line, f.Name.Name, n, maxParameters)
	}
}

func (s source) options(t *testing.T, spec *ast.TypeSpec) {
	t.Helper()
	fields, ok := spec.Type.(*ast.StructType)
	if !ok || !spec.Name.IsExported() || !strings.HasSuffix(spec.Name.Name, "Options") {
		return
	}
	if n := fields.Fields.NumFields(); n > maxOptionFields {
		t.Errorf("%s:%d: %s has %d fields, more than %d", s.path, s.fset.Position(spec.Pos()).Line, spec.Name.Name, n, maxOptionFields)
	}
}

// TestNothingIsSkipped: a test that does not run proves nothing and says so nowhere.
func TestNothingIsSkipped(t *testing.T) {
	for _, s := range sources(t) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.SelectorExpr)
			if !ok || !s.isTest() {
				return true
			}
			x, ok := call.X.(*ast.Ident)
			if !ok {
				return true
			}
			name := x.Name + "." + call.Sel.Name
			switch name {
			case "t.Skip", "t.Skipf", "t.SkipNow", "b.Skip", "b.Skipf", "b.SkipNow", "testing.Short":
				t.Errorf("%s:%d: %s: let the test fail and name what is missing", s.path, s.fset.Position(n.Pos()).Line, name)
			}
			return true
		})
	}
}

// TestPackagesSayWhatTheyAreFor: each has a package comment, each exported
// function and type a comment.
func TestPackagesSayWhatTheyAreFor(t *testing.T) {
	commented := map[string]bool{}
	for _, s := range sources(t) {
		if s.isTest() {
			continue
		}
		dir := filepath.Dir(s.path)
		commented[dir] = commented[dir] || s.file.Doc != nil
		for _, d := range s.file.Decls {
			if name, ok := uncommented(d); ok {
				t.Errorf("%s:%d: %s has no comment", s.path, s.fset.Position(d.Pos()).Line, name)
			}
		}
	}
	for dir, ok := range commented {
		if !ok {
			t.Errorf("package %s has no comment that says what it is and is not for", dir)
		}
	}
}

// uncommented names an exported declaration without a comment. What the
// methods of an error and of a writer do is known.
func uncommented(d ast.Decl) (string, bool) {
	known := map[string]bool{"Error": true, "Unwrap": true, "Is": true, "String": true, "Read": true, "Write": true, "Close": true}
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv != nil && (known[d.Name.Name] || !ast.IsExported(receiver(d))) {
			return "", false
		}
		return "func " + d.Name.Name, d.Name.IsExported() && d.Doc == nil
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			if t, ok := spec.(*ast.TypeSpec); ok && t.Name.IsExported() && d.Doc == nil && t.Doc == nil {
				return "type " + t.Name.Name, true
			}
		}
	}
	return "", false
}

func receiver(f *ast.FuncDecl) string {
	typ := f.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if id, ok := typ.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}
