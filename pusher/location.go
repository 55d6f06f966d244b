package pusher

import (
	"fmt"
	"os"
	"strings"
)

// CheckPlace says what is wrong with the name of a place where images are:
//
//	[docker://|http://|https://]HOST[:PORT]/REPOSITORY[:TAG|@DIGEST]
//	oci:DIR[:NAME]
//	oci-archive:FILE[:NAME]
//	docker-archive:FILE[:NAME]
//	a path: a directory is an OCI layout, a file that ends in .tar an OCI archive
//
// A path is what is there on disk, or begins with / or a dot, or ends in .tar.
func CheckPlace(s string) error {
	_, err := parseLocation(s)
	return err
}

// CheckReference says what is wrong with an image name,
// [http://|https://]HOST[:PORT]/REPOSITORY[:TAG|@DIGEST].
func CheckReference(s string) error {
	_, err := parseRef(s)
	return err
}

// kind is what an image lies in.
type kind string

const (
	kindRegistry      kind = "registry"
	kindLayout        kind = "oci"
	kindOCIArchive    kind = "oci-archive"
	kindDockerArchive kind = "docker-archive"
)

// location is where an image lies or is to be put.
type location struct {
	kind kind
	ref  reference // of a registry
	path string    // on disk
	name string    // the image in a layout or archive; "" if none is named
}

// parseLocation reads a place as CheckPlace has it.
func parseLocation(s string) (location, error) {
	if rest, ok := strings.CutPrefix(s, "docker://"); ok {
		ref, err := parseRef(rest)
		return location{kind: kindRegistry, ref: ref}, err
	}
	for _, k := range []kind{kindLayout, kindOCIArchive, kindDockerArchive} {
		rest, ok := strings.CutPrefix(s, string(k)+":")
		if !ok {
			continue
		}
		path, name, _ := strings.Cut(rest, ":")
		if path == "" {
			return location{}, fmt.Errorf("reading image place %q: it names no path: write %s:PATH", s, k)
		}
		return location{kind: k, path: path, name: name}, nil
	}
	if fi, err := os.Stat(s); err == nil && !fi.IsDir() {
		return location{kind: kindOCIArchive, path: s}, nil
	} else if err == nil {
		return location{kind: kindLayout, path: s}, nil
	}
	switch {
	case strings.HasPrefix(s, "http://"), strings.HasPrefix(s, "https://"): // goes on below
	case strings.HasSuffix(s, ".tar"):
		return location{kind: kindOCIArchive, path: s}, nil
	case strings.HasPrefix(s, "/"), strings.HasPrefix(s, "."):
		return location{kind: kindLayout, path: s}, nil
	}
	ref, err := parseRef(s)
	if err != nil {
		return location{}, fmt.Errorf("%w, or oci:DIR, oci-archive:FILE, docker-archive:FILE; images of Docker Hub are docker.io/library/NAME", err)
	}
	return location{kind: kindRegistry, ref: ref}, nil
}

// String is the place in full.
func (l location) String() string {
	if l.kind == kindRegistry {
		return l.ref.String()
	}
	return strings.TrimSuffix(string(l.kind)+":"+l.path+":"+l.name, ":")
}
