// Package board drives the program as the user of a board does: with the
// containerd, the K3s, the Docker or the podman that is there.
package board

import (
	"testing"

	"github.com/riscv-build/riscv-build/tests/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }
