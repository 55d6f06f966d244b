package recipes

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Entry is what the catalogue says of one of its recipes.
type Entry struct {
	*Recipe
	Doc         string   // NAME.md beside the recipe: the contract of the image, line by line
	StandsInFor []string // official images, as NAME.md names them
	Difference  string   // to them, in one phrase
}

// LoadEntry reads a recipe of the catalogue with its documentation.
func LoadEntry(name string) (*Entry, error) {
	r, err := LoadCatalog(name)
	if err != nil {
		return nil, err
	}
	doc, err := fs.ReadFile(catalogFS(), name+".md")
	if err != nil {
		return nil, fmt.Errorf("reading the documentation of %q in the catalogue: %w: write recipes/catalog/%s.md", name, err, name)
	}
	e := &Entry{Recipe: r, Doc: string(doc)}
	if e.StandsInFor, e.Difference, err = readDoc(e.Doc); err != nil {
		return nil, fmt.Errorf("reading \"recipes/catalog/%s.md\": %w", name, err)
	}
	return e, nil
}

// docStart is how the first paragraph of a NAME.md begins.
const docStart = "Stands in for "

// readDoc reads the first paragraph of a NAME.md:
//
//	Stands in for `nginx:1.26`, `nginx:stable`: what differs in one phrase. More.
func readDoc(doc string) (images []string, difference string, err error) {
	var text string
	for paragraph := range strings.SplitSeq(doc, "\n\n") {
		if text = strings.Join(strings.Fields(paragraph), " "); text != "" && !strings.HasPrefix(text, "#") {
			break
		}
	}
	wrong := errors.New("its first paragraph is no \"" + docStart + "`IMAGE`, `IMAGE`: what differs in one phrase.\": begin it so")
	rest, ok := strings.CutPrefix(text, docStart)
	if !ok {
		return nil, "", wrong
	}
	names, phrase, ok := cutOutside(rest, ":")
	phrase, _, _ = cutOutside(phrase, ". ")
	for i, part := range strings.Split(names, "`") {
		if i%2 == 1 {
			images = append(images, part)
		}
	}
	if phrase = strings.TrimSuffix(strings.TrimSpace(phrase), "."); !ok || len(images) == 0 || phrase == "" {
		return nil, "", wrong
	}
	return images, phrase, nil
}

// cutOutside cuts a text at the first mark that no backquotes enclose.
func cutOutside(text, mark string) (before, after string, found bool) {
	for i := range text {
		if strings.HasPrefix(text[i:], mark) && strings.Count(text[:i], "`")%2 == 0 {
			return text[:i], text[i+len(mark):], true
		}
	}
	return text, "", false
}

// Origin says in a few words what the image of a recipe is made from.
func (r *Recipe) Origin() string {
	var from []string
	for _, name := range r.sourceNames() {
		from = append(from, r.Source[name].origin())
	}
	slices.Sort(from)
	switch from = slices.Compact(from); {
	case len(from) > 0:
		return strings.Join(from, ", ")
	case len(r.Image.Packages) > 0 || !r.OnScratch():
		return "Debian packages"
	}
	return "files of the recipe"
}

func (s Source) origin() string {
	switch {
	case s.DSC != "":
		_, version, _ := strings.Cut(strings.TrimSuffix(path.Base(s.DSC), ".dsc"), "_")
		return "Debian source " + version
	case s.URL != "":
		return "upstream source"
	case s.Go != "":
		_, version, _ := strings.Cut(s.Go, "@")
		return "Go module " + version
	}
	return "source beside the recipe"
}

// Where the generated table stands in the catalogue's README.md.
const (
	tableStart = "<!-- table -->\n"
	tableEnd   = "<!-- end -->\n"
)

// CatalogReadme puts the table of the catalogue into a README.md.
func CatalogReadme(readme []byte) ([]byte, error) {
	before, rest, ok := bytes.Cut(readme, []byte(tableStart))
	_, after, ended := bytes.Cut(rest, []byte(tableEnd))
	if !ok || !ended {
		return nil, fmt.Errorf("looking for the table of README.md: there is no %q with %q after it: add both lines", tableStart, tableEnd)
	}
	var b bytes.Buffer
	b.Write(before)
	b.WriteString(tableStart)
	b.WriteString("| image | version | stands in for | built from | licence | difference in short |\n|---|---|---|---|---|---|\n")
	for _, name := range Catalog() {
		e, err := LoadEntry(name)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "| [%s](%s.md) | %s | %s | %s | %s | %s |\n", name, name, e.Version,
			"`"+strings.Join(e.StandsInFor, "`, `")+"`", e.Origin(), cmp.Or(e.License, "-"), strings.ReplaceAll(e.Difference, "|", `\|`))
	}
	b.WriteString(tableEnd)
	b.Write(after)
	return b.Bytes(), nil
}
