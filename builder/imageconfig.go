package builder

import (
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/builder/image"
	"github.com/riscv-build/riscv-build/recipes"
)

// imageConfig is the execution part of the image configuration (image-spec, config.md).
func imageConfig(r *recipes.Recipe) ocispec.ImageConfig {
	c := ocispec.ImageConfig{
		User: r.Image.User, Env: image.Env(r.Image.Env), Entrypoint: r.Image.Entrypoint, Cmd: r.Image.Cmd,
		WorkingDir: r.Image.Workdir, Labels: r.Image.Labels, StopSignal: r.Image.StopSignal,
	}
	if len(r.Image.Expose) > 0 {
		c.ExposedPorts = set(r.Image.Expose)
	}
	if len(r.Image.Volumes) > 0 {
		c.Volumes = set(r.Image.Volumes)
	}
	return c
}

func set(list []string) map[string]struct{} {
	m := map[string]struct{}{}
	for _, s := range list {
		m[s] = struct{}{}
	}
	return m
}

// annotations are those of the image-spec, annotations.md, then the recipe's
// own, then the digest of what the image is made from.
func annotations(r *recipes.Recipe, inputs string) map[string]string {
	m := map[string]string{}
	for name, v := range map[string]string{"title": r.Name, "version": r.Version, "description": r.Summary, "licenses": r.License, "url": r.Home} {
		if v != "" {
			m["org.opencontainers.image."+name] = v
		}
	}
	for k, v := range r.Image.Annotations {
		m[k] = v
	}
	m[InputsAnnotation] = inputs
	return m
}
