package recipes

import (
	"fmt"
	"slices"
	"strings"
)

// Modes are the values of build.mode.
var Modes = []string{"auto", "cross", "native", "emulate"}

// ReservedEnv are the variables that the build itself sets for steps and that
// build.env must not change.
var ReservedEnv = []string{"BUILD_TRIPLET", "DESTDIR", "JOBS", "SOURCE_DATE_EPOCH", "SYSROOT", "TRIPLET"}

// configuring are the templates with a configure step.
var configuring = []string{"autotools", "cmake", "meson"}

func (c *checker) checkBuild() {
	b := c.r.Build
	c.oneOf("build.mode", b.Mode, Modes)
	if b.Template == "" {
		c.checkNoBuild()
	} else {
		c.oneOf("build.template", b.Template, Templates)
		c.checkSteps()
	}
	c.checkGo()
	c.relative("build.dir", b.Dir)
	c.packages("build.packages", b.Packages)
	c.packages("build.tools", b.Tools)
	c.env("build.env", b.Env)
	for name := range b.Env {
		if slices.Contains(ReservedEnv, name) {
			c.bad(JoinPath("build.env", name), fmt.Sprintf("build.env sets %q, which the build sets itself", name), "remove it, or set a variable of another name")
		}
	}
	for i, patch := range b.Patches {
		c.beside(IndexPath("build.patches", i), patch, "file")
	}
	c.unique("build.patches", "patch", b.Patches)
	for i, artifact := range b.Artifacts {
		c.absolute(IndexPath("build.artifacts", i), artifact)
	}
	c.unique("build.artifacts", "artifact", b.Artifacts)
}

// checkNoBuild reports what only a build could use.
func (c *checker) checkNoBuild() {
	const do = `add template = "..." to [build]: one of `
	for _, name := range c.r.sourceNames() {
		c.bad(JoinPath("source", name), fmt.Sprintf("source %q is not built", name), do+strings.Join(Templates, ", "))
	}
	for _, key := range []string{"artifacts", "configure", "make", "targets", "install", "patches", "steps", "packages", "tools", "go"} {
		if key = "build." + key; c.r.given(key) {
			c.bad(key, key+" is given, but nothing is built", do+strings.Join(Templates, ", "))
		}
	}
}

// checkSteps reports keys that no step of the template would read.
func (c *checker) checkSteps() {
	b := c.r.Build
	script := b.Template == "script"
	if script && b.Steps == (Steps{}) {
		c.bad("build.template", `template "script" has no step`, `add build.steps.compile or build.steps.install with shell commands`)
	}
	if len(c.r.Source) == 0 && !script && slices.Contains(Templates, b.Template) {
		c.bad("build.template", fmt.Sprintf("template %q has no source to build", b.Template), `add a [source.NAME] table, or use template = "script"`)
	}
	if len(b.Patches) > 0 && len(c.r.Source) == 0 {
		c.bad("build.patches", "build.patches is given, but there is no source to patch", "add a [source.NAME] table")
	}
	if !slices.Contains(configuring, b.Template) && len(b.Configure) > 0 && b.Steps.Configure == "" {
		c.bad("build.configure", fmt.Sprintf("template %q has no configure step that build.configure could go to", b.Template),
			"use template "+strings.Join(configuring, ", ")+`, or add build.steps.configure, which finds the arguments in "$@"`)
	}
	if script && b.Steps.Compile == "" && b.Steps.Install == "" && len(b.Make) > 0 {
		c.unusedList("build.make")
	}
	if script && b.Steps.Compile == "" && len(b.Targets) > 0 {
		c.unusedList("build.targets")
	}
	if script && b.Steps.Install == "" && len(b.Install) > 0 {
		c.unusedList("build.install")
	}
}

func (c *checker) unusedList(key string) {
	c.bad(key, fmt.Sprintf("template %q has no step that %s could go to", "script", key),
		`add build.steps.compile or build.steps.install, which find the arguments in "$@"`)
}
