package builder

import (
	"cmp"
	"maps"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/builder/image"
	"github.com/riscv-build/riscv-build/recipes"
)

// imageConfig is the execution part of the image configuration (image-spec,
// config.md), on top of that of the base as after FROM in a Dockerfile: maps
// and sets grow, single values are replaced, and an entrypoint drops the base's
// command, which was made for another.
func imageConfig(r *recipes.Recipe, base *baseImage) ocispec.ImageConfig {
	own := ownConfig(r)
	if base == nil {
		return own
	}
	c := base.img.config.Config
	env := environment(c.Env)
	maps.Copy(env, r.Image.Env)
	c.Env = image.Env(env)
	c.User = cmp.Or(own.User, c.User)
	c.WorkingDir = cmp.Or(own.WorkingDir, c.WorkingDir)
	c.StopSignal = cmp.Or(own.StopSignal, c.StopSignal)
	if r.Image.Entrypoint != nil {
		c.Entrypoint, c.Cmd = own.Entrypoint, nil
	}
	if r.Image.Cmd != nil {
		c.Cmd = own.Cmd
	}
	c.ExposedPorts = joined(c.ExposedPorts, own.ExposedPorts)
	c.Volumes = joined(c.Volumes, own.Volumes)
	c.Labels = joined(c.Labels, own.Labels)
	return c
}

// joined is a map with the entries of both, the second before the first; nil where there are none.
func joined[V any](below, own map[string]V) map[string]V {
	if len(below)+len(own) == 0 {
		return nil
	}
	m := maps.Clone(below)
	if m == nil {
		m = map[string]V{}
	}
	maps.Copy(m, own)
	return m
}

func ownConfig(r *recipes.Recipe) ocispec.ImageConfig {
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
func annotations(r *recipes.Recipe, base *baseImage, inputs string) map[string]string {
	m := map[string]string{}
	if base != nil {
		m[ocispec.AnnotationBaseImageDigest] = base.img.desc.Digest.String()
	}
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
