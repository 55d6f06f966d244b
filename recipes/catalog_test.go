package recipes

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestCatalogReadme holds that the table of the catalogue's README.md is what
// the recipes and their documentation give.
func TestCatalogReadme(t *testing.T) {
	const name = "catalog/README.md"
	have, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	want, err := CatalogReadme(have)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(name, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(have, want) {
		t.Errorf("%s is not current: run go generate ./recipes", name)
	}
}

// TestCatalogEntries holds that every recipe of the catalogue tells its user
// what it is, and is tested and pushed under names of its own.
func TestCatalogEntries(t *testing.T) {
	pushed := map[string]string{}
	for _, name := range Catalog() {
		e, err := LoadEntry(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if e.Name != name {
			t.Errorf("%s.toml names itself %q", name, e.Name)
		}
		for key, text := range map[string]string{"summary": e.Summary, "license": e.License, "home": e.Home} {
			if text == "" {
				t.Errorf("%s.toml has no %s", name, key)
			}
		}
		if len(e.Tests) == 0 {
			t.Errorf("%s.toml has no [[test]]", name)
		}
		if !e.given("push.repository") || !e.given("push.tags") {
			t.Errorf("%s.toml does not name its repository and tags in [push]", name)
		}
		for _, tag := range e.Push.Tags {
			if other := pushed[e.Push.Repository+":"+tag]; other != "" {
				t.Errorf("%s.toml and %s.toml are both pushed to %s:%s", name, other, e.Push.Repository, tag)
			}
			pushed[e.Push.Repository+":"+tag] = name
		}
		if !strings.HasPrefix(e.Doc, "# "+name+"\n\n") {
			t.Errorf("%s.md does not begin with the line %q and an empty one", name, "# "+name)
		}
	}
}

func TestReadDoc(t *testing.T) {
	for _, c := range []struct {
		doc        string
		images     []string
		difference string
	}{
		{"# a\n\nStands in for `a:1`: little.\n\nDifferences: x\n", []string{"a:1"}, "little"},
		{"Stands in for `a:1` and\n`b/c:2.0`: no `x: y. z` module,\nnothing else. More: of it.", []string{"a:1", "b/c:2.0"}, "no `x: y. z` module, nothing else"},
		{"# a\n\nStands in for `a:1`.\n", nil, ""},
		{"# a\n\nStands in for nothing: it is new.\n", nil, ""},
		{"# a\n\nStands in for `a:1`: .\n", nil, ""},
		{"# a\n\nSomething else.\n", nil, ""},
		{"", nil, ""},
	} {
		images, difference, err := readDoc(c.doc)
		if !slices.Equal(images, c.images) || difference != c.difference || (err == nil) != (c.images != nil) {
			t.Errorf("%q gives %q, %q, %v", c.doc, images, difference, err)
		}
	}
}
