package check

import (
	"fmt"
	"path"
	"strings"
)

// defaultPath is what runtimes set where an image says nothing.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// maxInterpreters bounds a chain of scripts that are each other's interpreters;
// the kernel gives up after four too (BINPRM_MAX_RECURSION).
const maxInterpreters = 4

// entrypoint checks that what a runtime starts is there and can be started.
func (j *judge) entrypoint() {
	key, args := "entrypoint", j.config.Config.Entrypoint
	if len(args) == 0 {
		key, args = "cmd", j.config.Config.Cmd
	}
	if len(args) == 0 || args[0] == "" {
		j.note("", "entrypoint", "the image has neither entrypoint nor cmd", "")
		return
	}
	p, problem := j.lookPath(args[0])
	if problem != "" {
		j.bad("", "entrypoint", fmt.Sprintf("the %s %q %s", key, args[0], problem), "correct image."+key+", or add the file")
		return
	}
	j.executable(p, fmt.Sprintf("the %s %q", key, args[0]), maxInterpreters)
}

// lookPath finds a command as a runtime does; problem says why there is none.
func (j *judge) lookPath(name string) (p, problem string) {
	if strings.Contains(name, "/") {
		if !path.IsAbs(name) {
			name = path.Join("/", j.config.Config.WorkingDir, name)
		}
		if _, ok := j.tree.Stat(name); !ok {
			return "", "is not in the image"
		}
		return name, ""
	}
	search := envValue(j.config.Config.Env, "PATH", defaultPath)
	passed := ""
	for _, dir := range strings.Split(search, ":") {
		p := path.Join("/", dir, name)
		f, ok := j.tree.Stat(p)
		switch {
		case !ok || f.Type != TypeFile:
		case f.Mode&0o111 == 0:
			passed = p
		default:
			return p, ""
		}
	}
	if passed != "" {
		return passed, ""
	}
	return "", "is in no directory of PATH (" + search + ")"
}

// executable reports why the kernel would not start a file.
func (j *judge) executable(p, subject string, depth int) {
	f, ok := j.tree.Stat(p)
	switch {
	case !ok:
		j.bad("", "entrypoint", fmt.Sprintf("%s is run by %q, which is not in the image", subject, p),
			"add the package that holds it to image.packages")
	case f.Type != TypeFile:
		j.bad("", "entrypoint", fmt.Sprintf("%s is a %s, not a program", subject, f.Type), "name a program")
	case f.Mode&0o111 == 0:
		j.bad("", "entrypoint", fmt.Sprintf("%s is not executable: %s has mode %04o", subject, p, f.Mode), "give it mode 0755")
	case f.ELF != nil:
		// its machine and its libraries have their own rules
	case f.Script == "":
		j.bad("", "entrypoint", fmt.Sprintf("%s is neither an ELF file nor a script that begins with #!", subject),
			"begin the script with its interpreter, e.g. #!/bin/sh")
	case depth == 0:
		j.bad("", "entrypoint", fmt.Sprintf("%s is a script whose interpreters are scripts themselves", subject),
			"name a program as interpreter")
	default:
		j.interpreters(f.Script, subject, depth-1)
	}
}

// interpreters follows a #! line; of env(1) also what it looks up.
func (j *judge) interpreters(line, subject string, depth int) {
	words := strings.Fields(strings.TrimPrefix(line, "#!"))
	if len(words) == 0 {
		j.bad("", "entrypoint", subject+" is a script that names no interpreter", "begin it with its interpreter, e.g. #!/bin/sh")
		return
	}
	j.executable(words[0], subject, depth)
	if path.Base(words[0]) != "env" {
		return
	}
	for _, word := range words[1:] {
		if strings.HasPrefix(word, "-") || strings.Contains(word, "=") {
			continue
		}
		p, problem := j.lookPath(word)
		if problem != "" {
			j.bad("", "entrypoint", fmt.Sprintf("%s is run by %q, which %s", subject, word, problem),
				"add the package that holds it to image.packages")
			return
		}
		j.executable(p, subject, depth)
		return
	}
}

// envValue returns the last value of a variable in a list of NAME=VALUE.
func envValue(env []string, name, fallback string) string {
	for _, kv := range env {
		if k, v, ok := strings.Cut(kv, "="); ok && k == name {
			fallback = v
		}
	}
	return fallback
}
