package host

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

const (
	k3sSocket = "/run/k3s/containerd/containerd.sock"
	k3sBin    = "/var/lib/rancher/k3s/data/current/bin" // programs that K3s brings along
)

// What K3s's network is made of; one way of address translation is enough.
var (
	vxlan        = feature{"vxlan", "CONFIG_VXLAN"}
	bridgeFilter = feature{"br_netfilter", "CONFIG_BRIDGE_NETFILTER"}
	netfilter    = []feature{{"nf_conntrack", "CONFIG_NF_CONNTRACK"}, {"xt_comment", "CONFIG_NETFILTER_XT_MATCH_COMMENT"}}
	translation  = [][]feature{
		{{"nf_tables", "CONFIG_NF_TABLES"}, {"nft_compat", "CONFIG_NFT_COMPAT"}, {"nft_chain_nat", "CONFIG_NFT_NAT"}},
		{{"iptable_nat", "CONFIG_IP_NF_NAT"}},
	}
)

// k3s tells whether K3s is on this machine, and whether it runs.
func (m machine) k3s() (installed, runs bool) {
	runs = exists(m.root, k3sSocket)
	return runs || m.find("k3s") != "" || exists(m.root, "/etc/rancher/k3s"), runs
}

// kubernetes checks what the network of K3s needs of the kernel, where K3s is
// or is to be expected: on riscv64.
func (m machine) kubernetes() []Finding {
	installed, _ := m.k3s()
	if m.goos != "linux" || !installed && m.goarch != "riscv64" {
		return nil
	}
	return []Finding{
		m.features("vxlan", "the pods of two nodes reach each other over vxlan", []feature{vxlan}),
		m.bridges(),
		m.features("netfilter", "K3s leads traffic to services with iptables rules", append(netfilter, m.translation()...)),
		m.forwarding(),
	}
}

// translation chooses the way that the kernel has most of.
func (m machine) translation() []feature {
	best, most := translation[0], -1
	for _, way := range translation {
		worst := present
		for _, f := range way {
			worst = min(worst, m.has(f))
		}
		if int(worst) > most {
			best, most = way, int(worst)
		}
	}
	return best
}

// features checks for parts of the kernel. K3s loads modules when it starts:
// one that it could not load is told of where it runs.
func (m machine) features(name, why string, wanted []feature) Finding {
	f := Finding{Name: name, Severity: Warning, Why: "builds go without; in K3s, " + why}
	by := map[availability][]string{}
	var options []string
	for _, w := range wanted {
		has := m.has(w)
		by[has] = append(by[has], w.module)
		if has == absent {
			options = append(options, w.option)
		}
	}
	_, runs := m.k3s()
	switch {
	case len(by[absent]) > 0:
		f.What = "the kernel does not have " + strings.Join(by[absent], ", ")
		f.Fix = fmt.Sprintf("install a kernel with %s, such as %s", strings.Join(options, ", "), m.debianKernel())
	case len(by[unknown]) > 0:
		f.Severity = Info
		f.What = fmt.Sprintf("this machine does not show whether its kernel has %s", strings.Join(by[unknown], ", "))
		f.Fix = fmt.Sprintf("modprobe -a %s tells", strings.Join(by[unknown], " "))
	case len(by[loadable]) > 0 && (runs || m.find("modprobe") == ""):
		f.What = "not loaded: " + strings.Join(by[loadable], ", ")
		f.Fix = fmt.Sprintf("modprobe -a %s (doctor --fix does that)", strings.Join(by[loadable], " "))
		f.mend = m.load(by[loadable]...)
	case len(by[loadable]) > 0:
		return good(name, Warning, "can be loaded")
	default:
		return good(name, Warning, "there")
	}
	return f
}

// bridges checks that the traffic of bridges meets the rules for services.
func (m machine) bridges() Finding {
	const name = "br_netfilter"
	f := m.features(name, "pods of one node reach services through a bridge", []feature{bridgeFilter})
	_, runs := m.k3s()
	file := filepath.Join(m.proc, "sys/net/bridge/bridge-nf-call-iptables")
	if !f.OK || !runs || text(file) != "0" {
		return f
	}
	f = Finding{Name: name, Severity: Warning, What: "bridge-nf-call-iptables is 0",
		Why: "builds go without; in K3s, pods of one node reach services through a bridge",
		Fix: "sysctl -w net.bridge.bridge-nf-call-iptables=1 (doctor --fix does that)"}
	f.mend = m.set(file, "1")
	return f
}

// forwarding is switched on by K3s itself when it starts.
func (m machine) forwarding() Finding {
	const name = "IP forwarding"
	_, runs := m.k3s()
	file := filepath.Join(m.proc, "sys/net/ipv4/ip_forward")
	switch {
	case text(file) == "1":
		return good(name, Warning, "on")
	case !runs:
		return good(name, Warning, "off until K3s switches it on")
	}
	return Finding{Name: name, Severity: Warning, What: "off, although K3s runs",
		Why:  "builds go without; in K3s, no packet of a pod leaves the node",
		Fix:  "sysctl -w net.ipv4.ip_forward=1 (doctor --fix does that)",
		mend: m.set(file, "1")}
}

// set gives a repair that writes a setting of the kernel.
func (m machine) set(file, value string) mend {
	return func(_ context.Context, report func(string)) error {
		if err := m.needRoot(); err != nil {
			return err
		}
		if err := put(file, value); err != nil {
			return fmt.Errorf("writing %q to %q: %w: run this outside of a container", value, file, err)
		}
		report(fmt.Sprintf("set %s to %s", file, value))
		return nil
	}
}
