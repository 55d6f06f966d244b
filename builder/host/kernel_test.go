package host

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestISA(t *testing.T) {
	for _, c := range []struct {
		name, cpuinfo string
		probed        []string
		ok            bool
		what          string
	}{
		{"VisionFive 2", "isa\t\t: rv64imafdc_zicntr_zicsr_zifencei_zihpm_zba_zbb\nuarch\t\t: sifive,u74-mc\n", nil, true, "rv64gc, RVA20, Zba, Zbb (sifive,u74-mc)"},
		{"old kernel", "isa\t\t: rv64imafdcsu\n", nil, true, "rv64gc, RVA20"},
		{"SpacemiT K1", "isa\t\t: rv64imafdcv_sscofpmf_zicbom_zicboz\n", []string{"i", "m", "a", "f", "d", "c", "v", "zba", "zbb", "zbs"}, true, "rv64gc, RVA22, V, Zba, Zbb, Zbs"},
		{"RVA23", "isa : rv64imafdcv_zba_zbb_zbs_zicboz_zfhmin_zvbb_zicond_zfa\n", nil, true, "rv64gc, RVA23, V"},
		{"C910", "isa : rv64imafdc_xtheadvector\n", nil, true, "draft vectors (not V)"},
		{"probed only", "", []string{"i", "m", "a", "f", "d", "c"}, true, "rv64gc"},
		{"written g", "isa : rv64gc\n", nil, true, "rv64gc"},
		{"no double floats", "isa : rv64imafc\n", nil, false, "has no D"},
		{"one hart is smaller", "isa : rv64imafdc\nhart isa : rv64imafdc\nisa : rv64imafdc\nhart isa : rv64imac\n", nil, false, "has no F, D"},
		{"nothing", "", nil, false, "neither"},
		{"nonsense", "isa : x86\n", nil, false, "neither"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := tree(t, map[string]string{"/proc/cpuinfo": c.cpuinfo}).isa(c.probed)
			complete(t, f)
			if f.OK != c.ok || !strings.Contains(f.What, c.what) {
				t.Errorf("got %+v", f)
			}
		})
	}
}

// kernelFiles are those of a kernel that has everything.
func kernelFiles() map[string]string {
	files := map[string]string{"/proc/sys/kernel/seccomp/actions_avail": "allow\n"}
	for _, kind := range []string{"mnt", "pid", "net", "ipc", "uts", "cgroup", "user"} {
		files["/proc/self/ns/"+kind] = ""
		files["/proc/sys/user/max_"+kind+"_namespaces"] = "7000\n"
	}
	return files
}

func TestNamespacesAndSeccomp(t *testing.T) {
	for _, c := range []struct {
		name, gone, zero string
		severity         Severity
		what, fix        string
	}{
		{"all", "", "", "", "", ""},
		{"no net", "/proc/self/ns/net", "", Error, "kind net", "linux-image-riscv64"},
		{"no user", "/proc/self/ns/user", "", Warning, "kind user", "linux-image-riscv64"},
		{"pid allowed none", "", "/proc/sys/user/max_pid_namespaces", Error, "allows no namespaces of kind pid", "sysctl -w user.max_pid_namespaces=10000"},
		{"no seccomp", "/proc/sys/kernel/seccomp/actions_avail", "", Warning, "no seccomp", "CONFIG_SECCOMP_FILTER"},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := kernelFiles()
			delete(files, c.gone)
			if c.zero != "" {
				files[c.zero] = "0\n"
			}
			m := tree(t, files)
			for _, f := range []Finding{m.namespaces(), m.seccomp()} {
				complete(t, f)
				if f.OK {
					continue
				}
				if f.Severity != c.severity || !strings.Contains(f.What, c.what) || !strings.Contains(f.Fix, c.fix) {
					t.Errorf("got %+v", f)
				}
				c.severity = ""
			}
			if c.severity != "" {
				t.Error("not found")
			}
		})
	}
	if f := tree(t, nil).namespaces(); f.OK || f.Severity != Error {
		t.Errorf("without /proc: %+v", f)
	}
}

func TestCgroups(t *testing.T) {
	const v1 = "cgroup /cg/cpu cgroup rw,cpu 0 0\ncgroup /cg/memory cgroup rw,memory 0 0\ncgroup /cg/pids cgroup rw,pids 0 0\n"
	table := func(memory string) string {
		return "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t0\t2\t1\n" + memory
	}
	for _, c := range []struct {
		name  string
		files map[string]string // ROOT stands for the machine's root
		want  map[string]string // what is not OK, and why
		fix   string
	}{
		{"version 2", map[string]string{
			"/proc/mounts": "none ROOT/cg cgroup2 rw 0 0\n", "/cg/cgroup.controllers": "cpu memory pids\n", "/cg/cgroup.subtree_control": "cpu memory pids\n",
		}, nil, ""},
		{"version 1", map[string]string{"/proc/mounts": v1}, nil, ""},
		{"hybrid", map[string]string{"/proc/mounts": v1 + "none ROOT/cg cgroup2 rw 0 0\n", "/cg/cgroup.controllers": ""}, nil, ""},
		{"none", map[string]string{"/proc/mounts": "tmpfs / tmpfs rw 0 0\n"}, map[string]string{"cgroups": "no cgroup file system"}, "mount -t cgroup2"},
		{"no /proc", nil, map[string]string{"cgroups": "mount table"}, "mount -t proc"},
		{"switched off at boot", map[string]string{
			"/proc/mounts": "none ROOT/cg cgroup2 rw 0 0\n", "/cg/cgroup.controllers": "cpu pids\n", "/cg/cgroup.subtree_control": "cpu pids\n",
			"/proc/cmdline": "quiet cgroup_disable=pressure,memory\n", "/etc/default/u-boot": "", "/proc/cgroups": table("memory\t0\t2\t0\n"),
		}, map[string]string{"memory controller": `"cgroup_disable=memory" on the kernel's command line`}, "`cgroup_enable=memory cgroup_memory=1` behind it, then reboot"},
		{"switched off by the kernel", map[string]string{
			"/proc/mounts": "none ROOT/cg cgroup2 rw 0 0\n", "/cg/cgroup.controllers": "cpu pids\n", "/cg/cgroup.subtree_control": "cpu pids\n",
			"/boot/extlinux/extlinux.conf": "", "/proc/cgroups": table("memory\t0\t2\t0\n"),
		}, map[string]string{"memory controller": "switched off"}, "cgroup_enable=memory cgroup_memory=1` to the kernel's command line (the append lines of /boot/extlinux/extlinux.conf)"},
		{"not compiled", map[string]string{
			"/proc/mounts": "none ROOT/cg cgroup2 rw 0 0\n", "/cg/cgroup.controllers": "cpu pids\n", "/cg/cgroup.subtree_control": "cpu pids\n", "/proc/cgroups": table(""),
		}, map[string]string{"memory controller": "the kernel does not have it"}, "another kernel"},
		{"not delegated", map[string]string{
			"/proc/mounts": "none ROOT/cg cgroup2 rw 0 0\n", "/cg/cgroup.controllers": "cpu pids\n", "/cg/cgroup.subtree_control": "cpu pids\n", "/cg/cgroup.events": "populated 1\n",
		}, map[string]string{"memory controller": "not delegated"}, "Delegate=yes"},
		{"version 1 not mounted", map[string]string{
			"/proc/mounts": strings.ReplaceAll(v1, "memory", "blkio"), "/proc/cgroups": table("memory\t0\t2\t1\n"),
		}, map[string]string{"memory controller": "not mounted"}, "mount -t cgroup -o memory memory /sys/fs/cgroup/memory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := tree(t, c.files)
			if mounts := c.files["/proc/mounts"]; mounts != "" {
				if err := put(filepath.Join(m.proc, "mounts"), strings.ReplaceAll(mounts, "ROOT", m.root)); err != nil {
					t.Fatal(err)
				}
			}
			got := map[string]string{}
			for _, f := range m.cgroups() {
				complete(t, f)
				if !f.OK {
					got[f.Name] = f.What
					if !strings.Contains(f.Fix, c.fix) {
						t.Errorf("fix: %q", f.Fix)
					}
				}
			}
			for name, what := range c.want {
				if !strings.Contains(got[name], what) {
					t.Errorf("%s: got %q", name, got[name])
				}
				delete(got, name)
			}
			if len(got) > 0 {
				t.Errorf("too much: %v", got)
			}
		})
	}
}

func TestControllersAreEnabled(t *testing.T) {
	m := tree(t, map[string]string{"/proc/mounts": "", "/cg/cgroup.controllers": "cpu memory pids\n", "/cg/cgroup.subtree_control": "cpu pids\n"})
	if err := put(filepath.Join(m.proc, "mounts"), "none "+m.root+"/cg cgroup2 rw 0 0\n"); err != nil {
		t.Fatal(err)
	}
	var bad []Finding
	for _, f := range m.cgroups() {
		if !f.OK {
			bad = append(bad, f)
		}
	}
	if len(bad) != 1 || bad[0].Name != "memory controller" || Failed(bad) {
		t.Fatalf("got %+v", bad)
	}
	var did []string
	if err := Mend(context.Background(), bad, func(s string) { did = append(did, s) }); err != nil || len(did) != 1 {
		t.Errorf("did %q, %v", did, err)
	}
	if got := text(m.root, "cg/cgroup.subtree_control"); !strings.HasPrefix(got, "+memory") {
		t.Errorf("wrote %q", got)
	}
	m.euid = 1000
	if err := Mend(context.Background(), m.cgroups(), func(string) {}); err != nil && !strings.Contains(err.Error(), "sudo") {
		t.Errorf("as a user: %v", err)
	}
}

// boardFiles are those of a board whose kernel has what K3s wants as modules.
func boardFiles() map[string]string {
	return map[string]string{
		"/lib/modules/6.12/modules.builtin": "kernel/net/netfilter/nf_conntrack.ko\n",
		"/lib/modules/6.12/modules.dep": "kernel/drivers/net/vxlan/vxlan.ko.xz: kernel/net/ipv4/udp_tunnel.ko.xz\nkernel/net/bridge/br_netfilter.ko.xz:\n" +
			"kernel/net/netfilter/xt_comment.ko.xz:\nkernel/net/ipv4/netfilter/iptable_nat.ko.xz:\n",
		"/bin/modprobe": "", "/proc/sys/net/ipv4/ip_forward": "0\n",
	}
}

func TestKubernetes(t *testing.T) {
	k3sRuns := map[string]string{k3sSocket: ""}
	for _, c := range []struct {
		name   string
		files  map[string]string
		gone   []string
		arch   string
		want   map[string]string
		reason string
	}{
		{"a board", nil, nil, "riscv64", map[string]string{}, ""},
		{"a PC", nil, []string{"/lib/modules/6.12/modules.dep"}, "amd64", nil, ""},
		{"a PC with K3s", map[string]string{"/etc/rancher/k3s/config.yaml": ""}, nil, "amd64", map[string]string{}, ""},
		{"without modprobe", nil, []string{"/bin/modprobe"}, "riscv64", map[string]string{
			"vxlan": "not loaded: vxlan", "br_netfilter": "not loaded: br_netfilter", "netfilter": "not loaded: xt_comment, iptable_nat"}, ""},
		{"K3s runs", k3sRuns, nil, "riscv64", map[string]string{
			"vxlan": "not loaded", "br_netfilter": "not loaded", "netfilter": "not loaded", "IP forwarding": "although K3s runs"}, ""},
		{"a lean kernel", map[string]string{"/lib/modules/6.12/modules.dep": ""}, nil, "riscv64", map[string]string{
			"vxlan": "does not have vxlan", "br_netfilter": "does not have br_netfilter", "netfilter": "does not have xt_comment, nf_tables, nft_compat, nft_chain_nat"}, ""},
		{"all compiled in", map[string]string{
			"/lib/modules/6.12/modules.dep": "", "/boot/config-6.12": "#\nCONFIG_VXLAN=y\nCONFIG_BRIDGE_NETFILTER=y\nCONFIG_NETFILTER_XT_MATCH_COMMENT=y\nCONFIG_IP_NF_NAT=y\n",
		}, nil, "riscv64", map[string]string{}, ""},
		{"nothing to see", nil, []string{"/lib/modules/6.12/modules.dep", "/lib/modules/6.12/modules.builtin"}, "riscv64", map[string]string{
			"vxlan": "does not show", "br_netfilter": "does not show", "netfilter": "does not show"}, ""},
		{"bridges pass by", map[string]string{
			k3sSocket: "", "/proc/sys/net/bridge/bridge-nf-call-iptables": "0\n", "/proc/sys/net/ipv4/ip_forward": "1\n", "/sys/module/vxlan/x": "", "/sys/module/br_netfilter/x": "",
			"/sys/module/xt_comment/x": "", "/sys/module/iptable_nat/x": "",
		}, nil, "riscv64", map[string]string{"br_netfilter": "bridge-nf-call-iptables is 0"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := boardFiles()
			maps.Copy(files, c.files)
			for _, name := range c.gone {
				delete(files, name)
			}
			m := tree(t, files)
			m.goarch = c.arch
			if modprobe := filepath.Join(m.root, "bin", "modprobe"); exists(modprobe) {
				if err := os.Chmod(modprobe, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			all := m.kubernetes()
			if (c.want == nil) != (all == nil) || Failed(all) {
				t.Fatalf("got %+v", all)
			}
			for _, f := range all {
				complete(t, f)
				want, bad := c.want[f.Name]
				if f.OK == bad || !strings.Contains(f.What, want) {
					t.Errorf("got %+v, want %q", f, want)
				}
			}
		})
	}
}

func TestModulesAreLoaded(t *testing.T) {
	files := boardFiles()
	files[k3sSocket], files["/proc/sys/net/ipv4/ip_forward"] = "", "0\n"
	m := tree(t, files)
	if err := os.Remove(filepath.Join(m.path[0], "modprobe")); err != nil {
		t.Fatal(err)
	}
	program(t, m.path[0], "modprobe", `echo "$@" >>`+m.root+"/asked\n")
	var did []string
	if err := Mend(context.Background(), m.kubernetes(), func(s string) { did = append(did, s) }); err != nil {
		t.Fatal(err)
	}
	want := []string{"-a vxlan", "-a br_netfilter", "-a xt_comment iptable_nat"}
	if got := strings.Split(text(m.root, "asked"), "\n"); !slices.Equal(got, want) || len(did) != 4 {
		t.Errorf("asked modprobe %q, did %q", got, did)
	}
	if text(m.proc, "sys/net/ipv4/ip_forward") != "1" {
		t.Error("forwarding is still off")
	}
}

func TestContainerd(t *testing.T) {
	for _, c := range []struct {
		name, arch string
		files      map[string]string
		c          Containerd
		want       Finding
	}{
		{"system", "riscv64", nil, Containerd{Address: "/run/containerd/containerd.sock", Version: "1.7.24~ds1", Namespaces: []string{"default", "moby"}},
			Finding{OK: true, Severity: Warning, What: "version 1.7.24~ds1 at /run/containerd/containerd.sock, namespaces default, moby"}},
		{"K3s", "riscv64", nil, Containerd{Address: k3sSocket, Version: "v2.1.4-k3s1"}, Finding{OK: true, Severity: Warning, What: "version 2.1.4-k3s1 at " + k3sSocket + " (K3s)"}},
		{"old", "riscv64", nil, Containerd{Address: "/s", Version: "1.4.12"}, Finding{Severity: Warning, What: "older than 1.6", Fix: "apt-get install"}},
		{"oldest", "riscv64", nil, Containerd{Address: "/s", Version: "1.6.20~ds1"}, Finding{OK: true, Severity: Warning, What: "1.6.20"}},
		{"none on a board", "riscv64", nil, Containerd{}, Finding{Severity: Warning, What: "none answers", Fix: "apt-get install containerd"}},
		{"stopped", "riscv64", map[string]string{"/bin/containerd": ""}, Containerd{Problem: "nobody answers at /s"}, Finding{Severity: Warning, What: "nobody answers", Fix: "systemctl start containerd"}},
		{"K3s stopped", "riscv64", map[string]string{"/etc/rancher/k3s/config.yaml": ""}, Containerd{}, Finding{Severity: Warning, What: "none", Fix: "systemctl start k3s"}},
		{"none on a PC", "amd64", nil, Containerd{}, Finding{OK: true, Severity: Info, What: "none; builds use runc"}},
		{"named and gone", "amd64", nil, Containerd{Problem: "no such socket", Named: true}, Finding{Severity: Error, What: "no such socket", Fix: "containerd"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := tree(t, c.files)
			m.goarch = c.arch
			if exists(m.root, "bin", "containerd") {
				program(t, m.path[0], "containerd", "")
				if err := os.Chmod(filepath.Join(m.path[0], "containerd"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			f := m.containerd(c.c)
			complete(t, f)
			if f.OK != c.want.OK || f.Severity != c.want.Severity || !strings.Contains(f.What, c.want.What) || !strings.Contains(f.Fix, c.want.Fix) {
				t.Errorf("got %+v", f)
			}
		})
	}
}

func TestStateDirectory(t *testing.T) {
	if f := writable("/x", t.TempDir()); !f.OK {
		t.Errorf("got %+v", f)
	}
	f := writable("/proc/x", "/proc")
	complete(t, f)
	if f.OK || f.Severity != Error {
		t.Errorf("got %+v", f)
	}
}
