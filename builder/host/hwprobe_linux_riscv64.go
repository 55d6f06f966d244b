package host

import "golang.org/x/sys/unix"

// probedBits are the extensions that hwprobe tells of (kernel:
// Documentation/arch/riscv/hwprobe.rst) and profiles ask for.
var probedBits = []struct {
	bit  uint64
	exts []string
}{
	{unix.RISCV_HWPROBE_IMA_FD, []string{"f", "d"}},
	{unix.RISCV_HWPROBE_IMA_C, []string{"c"}},
	{unix.RISCV_HWPROBE_IMA_V, []string{"v"}},
	{unix.RISCV_HWPROBE_EXT_ZBA, []string{"zba"}},
	{unix.RISCV_HWPROBE_EXT_ZBB, []string{"zbb"}},
	{unix.RISCV_HWPROBE_EXT_ZBS, []string{"zbs"}},
	{unix.RISCV_HWPROBE_EXT_ZICBOZ, []string{"zicboz"}},
	{unix.RISCV_HWPROBE_EXT_ZFHMIN, []string{"zfhmin"}},
	{unix.RISCV_HWPROBE_EXT_ZVBB, []string{"zvbb"}},
	{unix.RISCV_HWPROBE_EXT_ZICOND, []string{"zicond"}},
	{unix.RISCV_HWPROBE_EXT_ZFA, []string{"zfa"}},
}

// probeExtensions asks the kernel what all processors have. Kernels before 6.4
// do not know the call.
func probeExtensions() []string {
	pairs := []unix.RISCVHWProbePairs{{Key: unix.RISCV_HWPROBE_KEY_BASE_BEHAVIOR}, {Key: unix.RISCV_HWPROBE_KEY_IMA_EXT_0}}
	if err := unix.RISCVHWProbe(pairs, nil, 0); err != nil {
		return nil
	}
	var found []string
	if base := pairs[0]; base.Key == unix.RISCV_HWPROBE_KEY_BASE_BEHAVIOR && base.Value&unix.RISCV_HWPROBE_BASE_BEHAVIOR_IMA != 0 {
		found = append(found, "i", "m", "a")
	}
	for _, p := range probedBits {
		if pairs[1].Key == unix.RISCV_HWPROBE_KEY_IMA_EXT_0 && pairs[1].Value&p.bit != 0 {
			found = append(found, p.exts...)
		}
	}
	return found
}
