package recipes

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestReference holds that REFERENCE.md and recipe.schema.json are what the
// table of keys and the types give.
func TestReference(t *testing.T) {
	schema, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]byte{"REFERENCE.md": Reference(), "recipe.schema.json": schema} {
		if *update {
			if err := os.WriteFile(name, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not current (%v): run go generate ./recipes", name, err)
		}
	}
}

// TestKeysAreComplete holds that each key of the types is documented, and each
// documented key exists.
func TestKeysAreComplete(t *testing.T) {
	var documented []string
	for _, key := range Keys() {
		if slices.Contains(documented, key.Path) {
			t.Errorf("%s is documented twice", key.Path)
		}
		documented = append(documented, key.Path)
		if !strings.HasSuffix(key.Text, ".") {
			t.Errorf("the text of %s is no sentence", key.Path)
		}
	}
	actual := pathsOf("", reflect.TypeFor[Recipe]())
	for _, path := range actual {
		if !slices.Contains(documented, path) {
			t.Errorf("%s is not documented", path)
		}
	}
	for _, path := range documented {
		if !slices.Contains(actual, path) {
			t.Errorf("%s is documented but does not exist", path)
		}
	}
}

// pathsOf lists the documented form of every key path of a type.
func pathsOf(path string, t reflect.Type) []string {
	t = deref(t)
	var paths []string
	if path != "" && !strings.HasSuffix(path, ".NAME") {
		paths = append(paths, path)
	}
	switch {
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		paths = append(paths, pathsOf(path, t.Elem())[1:]...)
	case t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Struct:
		paths = append(paths, pathsOf(path+".NAME", t.Elem())...)
	case t.Kind() == reflect.Struct && jsonType(t) == "object":
		for i := range t.NumField() {
			if name := tomlName(t.Field(i)); name != "" {
				paths = append(paths, pathsOf(JoinPath(path, name), t.Field(i).Type)...)
			}
		}
	}
	return paths
}

// TestKeysHoldTOML holds that defaults and examples decode as what they
// document.
func TestKeysHoldTOML(t *testing.T) {
	for _, key := range Keys() {
		if strings.Contains(key.Path, "NAME") {
			continue
		}
		for _, text := range []string{key.Default, key.Example} {
			if text == "" {
				continue
			}
			doc := key.Path + " = " + text + "\n"
			for _, list := range []string{"image.account", "image.dir", "image.file", "image.link", "check.allow", "test"} {
				if rest, ok := strings.CutPrefix(key.Path, list+"."); ok {
					doc = "[[" + list + "]]\n" + rest + " = " + text + "\n"
				}
			}
			if _, err := Decode(key.Path, []byte(doc), new(Recipe)); err != nil {
				t.Errorf("%s: %v", doc, err)
			}
		}
	}
}

func TestSchemaShape(t *testing.T) {
	data, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var root schemaNode
	if err := json.Unmarshal(data, &root); err != nil {
		t.Fatal(err)
	}
	if want := []string{"schema", "name", "version"}; !slices.Equal(root.Required, want) {
		t.Errorf("required is %v, want %v", root.Required, want)
	}
	file := root.Properties["image"].Properties["file"].Items
	if file == nil || file.Properties["mode"].Default != float64(0o644) || file.Additional != false {
		t.Errorf("image.file is described as %+v", file)
	}
	if got := len(root.Properties["build"].Properties["template"].Enum); got != len(Templates) {
		t.Errorf("build.template has %d values, want %d", got, len(Templates))
	}
	if root.Properties["test"].Items.Properties["timeout"].Type != "string" {
		t.Error("a duration is not described as a string")
	}
}
