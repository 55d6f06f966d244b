package host

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpproxy"
)

// proxySettings reads the variables as net/http does.
func (m machine) proxySettings() *httpproxy.Config {
	either := func(name string) string {
		if v := m.getenv(name); v != "" {
			return v
		}
		return m.getenv(strings.ToLower(name))
	}
	return &httpproxy.Config{HTTPProxy: either("HTTP_PROXY"), HTTPSProxy: either("HTTPS_PROXY"), NoProxy: either("NO_PROXY")}
}

// proxied says whether a request goes through a proxy.
func proxied(settings *httpproxy.Config, address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	via, err := settings.ProxyFunc()(u)
	return err == nil && via != nil
}

// proxy names the proxies of the environment. registry is the address of the
// private registry; "" for none.
func (m machine) proxy(registry string) Finding {
	f := Finding{Name: "proxy", Severity: Warning}
	settings := m.proxySettings()
	var named []string
	for _, v := range []struct{ name, value string }{{"HTTP_PROXY", settings.HTTPProxy}, {"HTTPS_PROXY", settings.HTTPSProxy}} {
		if v.value == "" {
			continue
		}
		shown, err := checkProxy(v.value)
		if err != nil {
			f.What = fmt.Sprintf("%s is no address of a proxy: %v", v.name, err)
			f.Why = "every download goes through it"
			f.Fix = fmt.Sprintf("export %s=http://HOST:PORT, or unset it", v.name)
			return f
		}
		named = append(named, v.name+" "+shown)
	}
	if len(named) == 0 {
		return good(f.Name, Warning, "none")
	}
	if registry != "" && proxied(settings, registry) && local(registry) {
		host := registry[strings.LastIndex(registry, "/")+1:]
		f.What = fmt.Sprintf("%s; NO_PROXY does not name the registry %s of this network", strings.Join(named, ", "), host)
		f.Why = "pushes and pulls go through a proxy that may not reach it"
		f.Fix = "export NO_PROXY=" + strings.TrimPrefix(settings.NoProxy+","+host, ",")
		return f
	}
	if settings.NoProxy != "" {
		named = append(named, "NO_PROXY "+settings.NoProxy)
	}
	return good(f.Name, Warning, strings.Join(named, ", "))
}

// checkProxy reads a proxy's address, and gives it without its password.
func checkProxy(value string) (shown string, err error) {
	if !strings.Contains(value, "://") {
		value = "http://" + value // so net/http takes it
	}
	u, err := url.Parse(value)
	switch {
	case err != nil:
		return "", fmt.Errorf("it cannot be read") // the error would show a password
	case !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme):
		return "", fmt.Errorf("scheme %q is none of http, https, socks5", u.Scheme)
	case u.Hostname() == "":
		return "", fmt.Errorf("it has no host")
	}
	return u.Redacted(), nil
}

// local says whether an address is by its name one of this network.
func local(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
		return ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast()
	}
	return !strings.Contains(u.Hostname(), ".") || strings.HasSuffix(u.Hostname(), ".local") || strings.HasSuffix(u.Hostname(), ".lan")
}
