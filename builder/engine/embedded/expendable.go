//go:build linux

package embedded

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/types/known/anypb"
)

// expendable has containerd make containers that are killedFirst, which BuildKit
// can ask of runc only.
type expendable struct{ containers.Store }

// Create makes a container.
func (e expendable) Create(ctx context.Context, c containers.Container) (containers.Container, error) {
	var spec specs.Spec
	if err := json.Unmarshal(c.Spec.GetValue(), &spec); err != nil {
		return c, fmt.Errorf("reading how a container is to be made: %w: this is a bug of riscv-build", err)
	}
	spec.Process.OOMScoreAdj = new(killedFirst)
	text, err := json.Marshal(spec)
	if err != nil {
		return c, fmt.Errorf("writing how a container is to be made: %w: this is a bug of riscv-build", err)
	}
	c.Spec = &anypb.Any{TypeUrl: c.Spec.GetTypeUrl(), Value: text}
	return e.Store.Create(ctx, c)
}
