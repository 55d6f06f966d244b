package gomod

import (
	"path"
	"strings"

	"golang.org/x/mod/module"
)

// DefaultGo is the Go tool chain of recipes that name none.
const DefaultGo = "1.27.4"

// Toolchain is the module that holds the Go tool chain of a build host.
func Toolchain(version, arch string) module.Version {
	return module.Version{Path: "golang.org/toolchain", Version: "v0.0.1-go" + version + ".linux-" + arch}
}

// ToolchainFile says where a file of a tool chain's zip belongs below GOROOT,
// and whether it is executable; "" for what no build needs.
func ToolchainFile(name string) (to string, executable bool) {
	top, _, _ := strings.Cut(name, "/")
	switch {
	case top == "api" || top == "doc" || top == "misc" || top == "test":
		return "", false
	case strings.HasPrefix(name, "src/cmd/"), strings.Contains(name, "/testdata/"), strings.HasSuffix(name, "_test.go"):
		return "", false
	case path.Base(name) == "_go.mod": // a go.mod of its own would be another module in a zip
		name = path.Dir(name) + "/go.mod"
	}
	return name, top == "bin" || strings.HasPrefix(name, "pkg/tool/")
}
