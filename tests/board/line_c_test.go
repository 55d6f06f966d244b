package board

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/tests/board/boardrig"
	"github.com/riscv-build/riscv-build/tests/rig"
)

// disaster is what happens to a build on a board.
type disaster struct {
	name   string
	strike func(b *boardrig.Board)
}

var (
	killed  = disaster{"SIGKILL", func(b *boardrig.Board) { b.Must("kill -KILL $(cat /root/pid) 2>/dev/null; " + ended) }}
	restart = disaster{"containerd restarted", func(b *boardrig.Board) {
		b.Must("kill -KILL $(pidof containerd); sleep 1; setsid containerd >>/var/log/containerd.log 2>&1 </dev/null & " +
			"n=0; until ctr version >/dev/null 2>&1; do n=$((n+1)); [ $n -lt 300 ] || exit 1; sleep 0.2; done; " + ended)
	}}
	powerCut = disaster{"power cut", func(b *boardrig.Board) { b.Cut(); b.Boot() }}
)

// ended waits for the end of the build.
const ended = "while kill -0 $(cat /root/pid) 2>/dev/null; do sleep 0.2; done"

// disasters are those of a run: in the reduced one, each build but the last
// meets one, and the last is to recover from all of them.
func disasters() []disaster {
	if !rig.Full {
		return []disaster{killed, restart, powerCut, powerCut}
	}
	return []disaster{killed, killed, killed, restart, restart, restart, powerCut, powerCut, powerCut, powerCut, powerCut}
}

// TestLineBoardC: builds that are killed, that lose their containerd, that lose
// the power, at random moments. The next one gives the image that an undisturbed
// one gives, and when the cache is pruned nothing of ours is left.
func TestLineBoardC(t *testing.T) {
	b, clean, length := undisturbed(t)
	all := disasters()
	for i, d := range all {
		moment := rand.N(length)
		t.Logf("%s after %.1f of %.1f s", d.name, moment.Seconds(), length.Seconds())
		b.Must("sync; setsid riscv-build " + anew() + " >/root/out 2>/root/err </dev/null & echo $! >/root/pid")
		time.Sleep(moment)
		d.strike(b)
		if rig.Full || i == len(all)-1 {
			again, _ := buildAnew(t, b)
			rig.Figure{
				Line: "board C", Got: fmt.Sprintf("%s at %.1f of %.1f s: then %s", d.name, moment.Seconds(), length.Seconds(), again),
				Limit: "the clean digests " + clean, OK: again == clean,
			}.Report(t)
		}
	}
	b.Must("riscv-build cache prune")
	left := remains(b)
	rig.Figure{Line: "board C", Got: fmt.Sprintf("after cache prune: %q is left", left), Limit: "nothing", OK: left == ""}.Report(t)
}

// undisturbed is a board, what builds give that nothing befalls there, and how
// long they take. In the reduced run it is the board of the lines before.
func undisturbed(t *testing.T) (b *boardrig.Board, digests string, length time.Duration) {
	t.Helper()
	if !rig.Full {
		m := native(t, packageImage)
		return nativeBoard(t), m.digests(), m.took / 3 // those that follow find everything unpacked
	}
	b = boardrig.Start(t, boardrig.Options{Persist: true, Seed: seed(t)})
	b.Copy(testdata(), recipeDir)
	digests, _ = buildAnew(t, b)
	_, length = buildAnew(t, b)
	return b, digests, length
}

// anew is the build that disasters meet: in the reduced run of packages alone, in
// the full run of both kinds; from the assembling of packages on.
func anew() string {
	command := "build --json --progress plain --no-cache " + recipe(packageImage, recipeDir)
	if rig.Full {
		command += " " + recipe(sourceImage, recipeDir)
	}
	return command
}

// buildAnew lets it end, and returns the digests and how long it took.
func buildAnew(t *testing.T, b *boardrig.Board) (digests string, took time.Duration) {
	t.Helper()
	r := b.Must("riscv-build " + anew())
	return parse(t, r).digests(), r.Took
}

// remains lists what of ours is left in containerd, below the state directory
// and among the cgroups.
func remains(b *boardrig.Board) string {
	return b.Must(`
for n in $(ctr ns ls -q | grep ^riscv-build); do
	for kind in "leases ls" "containers ls" "tasks ls" "content ls"; do ctr -n $n $kind -q | sed "s,^,$n $kind: ,"; done
	ctr -n $n snapshots ls | tail -n +2 | sed "s,^,$n snapshot: ,"
done
grep " /var/lib/riscv-build/" /proc/mounts
find /sys/fs/cgroup -name "*riscv-build*" -o -name "*buildkit*"
true`).Stdout
}
