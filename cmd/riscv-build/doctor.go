package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder/host"
)

const doctorDescription = `Looks at everything that a build on this machine needs: processor, runc and containerd, namespaces and
cgroups, binfmt_misc and QEMU where riscv64 programs are foreign, on a board or beside K3s what its network
needs of the kernel, disk, memory, clock, name server, mirrors, registry and proxies.

Each line is ok, info, warning or error; what is not ok says why it matters and what mends it. With an
error a build would fail, and the exit status is 3; a warning costs time, or what is done with the image.

--fix mends what needs no package and no decision: it mounts binfmt_misc and registers QEMU with the flag F (where
none is installed, one from the Debian archive, kept in the state directory), loads modules that K3s wants,
enables cgroup controllers, sets a clock that starts in 1970 by the mirror, and writes the configuration of
docker, containerd or K3s for a registry that speaks plain HTTP. It says what it does and what it leaves; it
installs, starts and restarts nothing. Run it as root.`

func doctorCommand() *cli.Command {
	return &cli.Command{
		Name: "doctor", Usage: "check whether this machine can build, and say what to do", Description: doctorDescription,
		Flags: flags(stateFlags(), archiveFlags()[:1], containerdFlags(), []cli.Flag{
			registryFlag(), jsonFlag(),
			&cli.BoolFlag{Name: "fix", Usage: "mend what can be mended without installing anything"},
		}),
		Action: doctor,
	}
}

// diagnosis is what --json prints.
type diagnosis struct {
	OK       bool           `json:"ok"` // a build would not fail for the machine
	Findings []host.Finding `json:"findings"`
	Fixed    []string       `json:"fixed,omitempty"` // what --fix did
	Left     string         `json:"left,omitempty"`  // what --fix did not do, and why
}

func doctor(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	place, err := findPlace(c)
	if err != nil {
		return err
	}
	d, err := place.diagnose(c)
	if err != nil {
		return err
	}
	if c.Bool("fix") {
		if d, err = place.mend(c, d.Findings); err != nil {
			return err
		}
	}
	if c.Bool("json") {
		writeJSON(c.App.Writer, d)
	} else {
		printFindings(c.App.Writer, d.Findings)
	}
	if !d.OK {
		return environmentError{errors.New("checking this machine: a build would fail: do what stands behind \"fix:\"")}
	}
	return nil
}

// diagnose checks the machine.
func (p *place) diagnose(c *cli.Context) (diagnosis, error) {
	o, err := p.hostOptions(c)
	if err != nil {
		return diagnosis{}, err
	}
	findings := host.Check(c.Context, o)
	return diagnosis{OK: !host.Failed(findings), Findings: findings}, c.Context.Err()
}

// mend repairs what was found, and checks again.
func (p *place) mend(c *cli.Context, findings []host.Finding) (diagnosis, error) {
	var fixed []string
	left := host.Mend(c.Context, findings, func(did string) {
		fixed = append(fixed, did)
		fmt.Fprintln(c.App.ErrWriter, did)
	})
	if left != nil {
		fmt.Fprintln(c.App.ErrWriter, left)
	}
	p.found = nil // a containerd may answer now
	d, err := p.diagnose(c)
	d.Fixed = fixed
	if left != nil {
		d.Left = left.Error()
	}
	return d, err
}

// printFindings prints a line for each finding, and why and fix below those
// that are not ok.
func printFindings(w io.Writer, findings []host.Finding) {
	for _, f := range findings {
		mark := "ok"
		if !f.OK {
			mark = string(f.Severity)
		}
		fmt.Fprintf(w, "%-8s %-18s %s\n", mark, f.Name, f.What)
		if !f.OK {
			fmt.Fprintf(w, "%28swhy: %s\n%28sfix: %s\n", "", f.Why, "", f.Fix)
		}
	}
}
