package enginehost

import (
	"cmp"
	"context"
)

// Has tells whether there is a container, or else a volume, of the engine.
func (t *Tool) Has(ctx context.Context, e Engine) (bool, error) {
	c, found, err := t.inspect(ctx, "container", e.Name)
	if err != nil || found && c.Config.Labels[e.Label] != "" {
		return err == nil, err
	}
	v, found, err := t.inspect(ctx, "volume", e.Name)
	return found && v.Labels[e.Label] != "", err
}

// Down removes the container with its image, and with purge the volume too. It
// tells what was there.
func (t *Tool) Down(ctx context.Context, e Engine, purge bool) (removed []string, err error) {
	c, found, err := t.inspect(ctx, "container", e.Name)
	if err != nil {
		return nil, err
	}
	if found {
		if err := e.owns(t, "container", c.Config.Labels); err != nil {
			return nil, err
		}
		if err := t.remove(ctx, e.Name, "rm", "--force"); err != nil {
			return nil, err
		}
		removed = append(removed, "container "+e.Name)
		if name := cmp.Or(c.Config.Image, c.Image); t.discard(ctx, name) {
			removed = append(removed, "image "+name)
		}
	}
	if !purge {
		return removed, nil
	}
	v, found, err := t.inspect(ctx, "volume", e.Name)
	if err != nil || !found {
		return removed, err
	}
	if err := e.owns(t, "volume", v.Labels); err != nil {
		return removed, err
	}
	if err := t.remove(ctx, e.Name, "volume", "rm"); err != nil {
		return removed, err
	}
	return append(removed, "volume "+e.Name), nil
}
