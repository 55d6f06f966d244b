package host

import (
	"context"
	"debug/elf"
	"fmt"
	"strings"
)

const (
	whyEmulator = "configure probes and tests are riscv64 programs that this machine runs through QEMU"
	fixHandler  = "riscv-build doctor --fix"
	installQEMU = "apt-get install qemu-user-static && riscv-build doctor --fix"
)

// emulation checks that riscv64 programs run, in containers too.
func (m machine) emulation(ctx context.Context) []Finding {
	if m.goos != "linux" {
		return nil
	}
	if m.goarch == "riscv64" {
		return []Finding{m.runs(ctx)}
	}
	f := m.binfmtMounted()
	if !f.OK {
		return []Finding{f}
	}
	h := m.riscvHandler(ctx)
	if !h.usable() {
		return []Finding{f, h}
	}
	return []Finding{f, h, m.runs(ctx)}
}

func (m machine) binfmtMounted() Finding {
	f := Finding{Name: "binfmt_misc", Severity: Error, Why: whyEmulator, Fix: fixHandler, mend: m.fix}
	switch {
	case !m.mounted():
		f.What = fmt.Sprintf("binfmt_misc is not mounted at %q", m.binfmt)
	case !m.active():
		f.What = "binfmt_misc is switched off"
	default:
		return good(f.Name, Error, "mounted")
	}
	return f
}

// riscvHandler looks for an enabled handler that reaches into containers.
func (m machine) riscvHandler(ctx context.Context) Finding {
	f := Finding{Name: "riscv64 handler", Severity: Error, Why: whyEmulator, Fix: fixHandler, mend: m.fix}
	all, err := m.handlers()
	if err != nil {
		f.What = err.Error()
		return f
	}
	if len(all) == 0 {
		f.What = "no binfmt_misc handler runs riscv64 programs"
		if m.interpreter() == "" && m.bring == nil {
			f.Fix = installQEMU
		}
		return f
	}
	for _, h := range all {
		if problem := h.problem(); problem != "" {
			f.What = problem
			continue
		}
		what := fmt.Sprintf("%s runs %s (flags %s)", h.name, h.interpreter, h.flags)
		v := programVersion(ctx, h.interpreter)
		if v != "" {
			what += ", QEMU " + v
		}
		if older(v, oldestQEMU) {
			return Finding{Name: f.Name, Severity: Warning, What: what + ", older than " + oldestQEMU,
				Why: "builds were never tried with a QEMU this old; old ones crash in programs of today", Fix: "apt-get install qemu-user-static"}
		}
		return good(f.Name, Error, what)
	}
	return f
}

// usable says whether there is a handler that makes programs run.
func (f Finding) usable() bool { return f.OK || f.Severity != Error }

// problem says why a handler is of no use in containers; "" if it is.
func (h handler) problem() string {
	switch {
	case !h.enabled:
		return fmt.Sprintf("handler %q is switched off", h.name)
	case !h.holds():
		return fmt.Sprintf("handler %q has flags %q without F: its interpreter %q is not found inside containers", h.name, h.flags, h.interpreter)
	}
	return ""
}

// runs is the proof: a riscv64 program ends as it should.
func (m machine) runs(ctx context.Context) Finding {
	const name = "riscv64 program"
	status, err := runTiny(ctx)
	switch {
	case err != nil:
		return Finding{Name: name, Severity: Error, What: err.Error(), Why: whyEmulator, Fix: installQEMU}
	case status != TinyStatus:
		return Finding{Name: name, Severity: Error,
			What: fmt.Sprintf("a riscv64 program that exits with %d exited with %d", TinyStatus, status),
			Why:  whyEmulator, Fix: installQEMU}
	}
	return good(name, Error, "runs")
}

// interpreter finds a QEMU that needs no library of its own: inside a
// container a dynamic one would look for them in the container's root.
func (m machine) interpreter() string {
	for _, name := range []string{"qemu-riscv64-static", "qemu-riscv64"} {
		if p := m.find(name); p != "" && static(p) {
			return p
		}
	}
	return ""
}

func static(program string) bool {
	f, err := elf.Open(program)
	if err != nil {
		return false
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return false
		}
	}
	return true
}

// fix makes riscv64 programs run on this machine: it mounts binfmt_misc where
// it is not mounted, and registers QEMU where no handler is, or only one that
// does not reach into containers. It changes nothing that works, and reports
// each thing it does.
func (m machine) fix(ctx context.Context, report func(string)) error {
	if err := m.needRoot(); err != nil {
		return err
	}
	if !m.mounted() {
		if err := mountBinfmt(m.binfmt); err != nil {
			return err
		}
		report("mounted binfmt_misc at " + m.binfmt)
	}
	if !m.active() {
		if err := m.write("status", "1"); err != nil {
			return fmt.Errorf("switching binfmt_misc on: %w: run this outside of a container", err)
		}
		report("switched binfmt_misc on")
	}
	if m.riscvHandler(ctx).usable() {
		return nil
	}
	return m.replaceHandlers(ctx, report)
}

// replaceHandlers takes handlers away that are of no use, and registers QEMU.
func (m machine) replaceHandlers(ctx context.Context, report func(string)) error {
	program := m.interpreter()
	if program == "" && m.bring == nil {
		return fmt.Errorf("registering a riscv64 handler: no static qemu-riscv64 is installed: run `apt-get install qemu-user-static`")
	}
	if program == "" {
		var err error
		if program, err = m.bring(ctx); err != nil {
			return fmt.Errorf("bringing a QEMU for riscv64 programs, as none is installed: %w; or run `apt-get install qemu-user-static`", err)
		}
		report("brought " + program + " from the Debian archive")
	}
	old, err := m.handlers()
	if err != nil {
		return err
	}
	for _, h := range old {
		if err := m.write(h.name, "-1"); err != nil {
			return fmt.Errorf("removing handler %q: %w: run this outside of a container", h.name, err)
		}
		report(fmt.Sprintf("removed handler %q (interpreter %s, flags %s)", h.name, h.interpreter, h.flags))
	}
	return m.register(ctx, program, report)
}

// register prefers that programs see their own argv[0] (flag P). An old QEMU
// or kernel takes that for one more argument, which the tiny program shows.
func (m machine) register(ctx context.Context, program string, report func(string)) error {
	for _, flags := range []string{"POCF", "OCF"} {
		if err := m.write("register", rule(program, flags)); err != nil {
			return fmt.Errorf("registering %q for riscv64 programs: %w: run this outside of a container", program, err)
		}
		status, err := runTiny(ctx)
		if err != nil {
			return fmt.Errorf("trying %q: %w: install another QEMU", program, err)
		}
		if status == TinyStatus {
			report(fmt.Sprintf("registered %s for riscv64 programs (flags %s)", program, flags))
			return nil
		}
		if err := m.write(handlerName, "-1"); err != nil {
			return fmt.Errorf("removing handler %q: %w: run this outside of a container", handlerName, err)
		}
	}
	return fmt.Errorf("registering %q for riscv64 programs: it does not run a test program as it should: install another QEMU", strings.TrimSpace(program))
}
