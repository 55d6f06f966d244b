package debian

import "strings"

// builtin is the list for machines without apt sources, such as a Mac: mirrors
// of countries and universities that have carried Debian for years.
var builtin = []struct {
	country  string
	debian   string
	security string // empty: it carries none
}{
	{"de", "http://ftp.de.debian.org/debian", ""},
	{"us", "http://ftp.us.debian.org/debian", ""},
	{"cn", "https://mirrors.tuna.tsinghua.edu.cn/debian", "https://mirrors.tuna.tsinghua.edu.cn/debian-security"},
	{"cn", "https://mirrors.ustc.edu.cn/debian", "https://mirrors.ustc.edu.cn/debian-security"},
	{"fr", "http://ftp.fr.debian.org/debian", ""},
	{"gb", "http://ftp.uk.debian.org/debian", ""},
	{"jp", "http://ftp.jp.debian.org/debian", ""},
	{"kr", "http://ftp.kr.debian.org/debian", ""},
	{"tw", "http://ftp.tw.debian.org/debian", ""},
	{"nl", "http://ftp.nl.debian.org/debian", ""},
	{"se", "http://ftp.se.debian.org/debian", ""},
	{"br", "http://ftp.br.debian.org/debian", ""},
	{"au", "http://ftp.au.debian.org/debian", ""},
	{"ca", "http://mirror.csclub.uwaterloo.ca/debian", "http://mirror.csclub.uwaterloo.ca/debian-security"},
	{"de", "http://ftp.halifax.rwth-aachen.de/debian", "http://ftp.halifax.rwth-aachen.de/debian-security"},
}

// securityHost is the security archive's own host, first for everybody: it is
// updated before any mirror.
const securityHost = "http://security.debian.org/debian-security"

// builtinMirrors gives the list, those of the user's country first.
func builtinMirrors(getenv func(string) string) Mirrors {
	country := localeCountry(getenv)
	m := Mirrors{Security: []Mirror{{URL: securityHost, From: "built-in list"}}}
	for _, near := range []bool{true, false} {
		for _, b := range builtin {
			if (b.country == country) != near {
				continue
			}
			from := "built-in list (" + b.country + ")"
			m.Debian = append(m.Debian, Mirror{URL: b.debian, From: from})
			if b.security != "" {
				m.Security = append(m.Security, Mirror{URL: b.security, From: from})
			}
		}
	}
	return m
}

// localeCountry reads the country of a locale such as zh_CN.UTF-8: "cn".
func localeCountry(getenv func(string) string) string {
	for _, key := range []string{"LC_ALL", "LANG"} {
		_, rest, ok := strings.Cut(getenv(key), "_")
		if ok && len(rest) >= 2 {
			return strings.ToLower(rest[:2])
		}
	}
	return ""
}
