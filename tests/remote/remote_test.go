// Package remote tests engines that are elsewhere: the image of the engine, and
// containers of it.
package remote

import (
	"testing"

	"github.com/riscv-build/riscv-build/tests/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }
