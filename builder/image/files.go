package image

import (
	"archive/tar"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/riscv-build/riscv-build/recipes"
)

// AddRecipe puts the accounts, directories, files and links of a recipe into
// the tree. below reads a file of the layers beneath and returns nil where
// there is none.
func (t *Tree) AddRecipe(r *recipes.Recipe, below func(name string) ([]byte, error)) error {
	if err := t.addAccounts(r.Image.Accounts, below); err != nil {
		return err
	}
	for _, d := range r.Image.Dirs {
		t.Add(tar.Header{Typeflag: tar.TypeDir, Name: d.Path, Mode: d.Mode, Uid: d.UID, Gid: d.GID}, nil)
	}
	for _, f := range r.Image.Files {
		data, err := fileContent(r, f)
		if err != nil {
			return err
		}
		t.Add(tar.Header{Typeflag: tar.TypeReg, Name: f.Path, Mode: f.Mode, Uid: f.UID, Gid: f.GID}, data)
	}
	for _, l := range r.Image.Links {
		h := tar.Header{Typeflag: tar.TypeSymlink, Name: l.Path, Linkname: l.Target, Mode: 0o777}
		if l.Hard {
			h.Typeflag, h.Linkname, h.Mode = tar.TypeLink, clean(l.Target), 0o755
		}
		t.Add(h, nil)
	}
	return nil
}

func fileContent(r *recipes.Recipe, f recipes.File) ([]byte, error) {
	if f.Content != nil {
		return []byte(*f.Content), nil
	}
	b, err := fs.ReadFile(r.Dir, path.Clean(f.From))
	if err != nil {
		return nil, fmt.Errorf("reading %q for %q of recipe %q: %w", f.From, f.Path, r.Name, err)
	}
	return b, nil
}

// addAccounts appends to passwd(5), group(5) and shadow(5) of the layers below.
// A recipe's account may stand there already, with the same numbers.
func (t *Tree) addAccounts(accounts []recipes.Account, below func(string) ([]byte, error)) error {
	if len(accounts) == 0 {
		return nil
	}
	db := map[string]string{}
	for _, name := range []string{"etc/passwd", "etc/group", "etc/shadow"} {
		b, err := below(name)
		if err != nil {
			return err
		}
		db[name] = string(b)
	}
	for _, a := range accounts {
		uid, gid := strconv.Itoa(a.UID), strconv.Itoa(a.GID)
		lines := map[string][]string{
			"etc/passwd": {a.Name, "x", uid, gid, a.Comment, a.Home, a.Shell},
			"etc/group":  {a.Name, "x", gid, ""},
			"etc/shadow": {a.Name, "!*", "", "", "", "", "", "", ""},
		}
		for name, fields := range lines {
			text, err := withLine(db[name], fields)
			if err != nil {
				return fmt.Errorf("adding account %q to %q: %w", a.Name, "/"+name, err)
			}
			db[name] = text
		}
	}
	for name, text := range db {
		h := tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}
		if name == "etc/shadow" {
			h.Mode, h.Gid = 0o640, shadowGID(db["etc/group"])
		}
		t.Add(h, []byte(text))
	}
	return nil
}

// withLine appends a line to a colon-separated account database.
func withLine(text string, fields []string) (string, error) {
	for _, line := range strings.Split(text, "\n") {
		have := strings.Split(line, ":")
		if have[0] != fields[0] {
			continue
		}
		// The numbers are in fields 2 and 3 of passwd, 2 of group; shadow has none.
		for i := 2; i < len(fields) && i < 4 && i < len(have); i++ {
			if fields[i] != "" && have[i] != fields[i] {
				return "", fmt.Errorf("the base has it as %q: choose another name or the same numbers", line)
			}
		}
		return text, nil
	}
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return text + strings.Join(fields, ":") + "\n", nil
}

// shadowGID is the group that may read /etc/shadow: 42 in Debian, else root's.
func shadowGID(group string) int {
	for _, line := range strings.Split(group, "\n") {
		if f := strings.Split(line, ":"); f[0] == "shadow" && len(f) > 2 {
			gid, _ := strconv.Atoi(f[2])
			return gid
		}
	}
	return 0
}
