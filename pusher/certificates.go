package pusher

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// tls reads the certificates of a registry's settings, and those that dirs hold
// for it: CAs as *.crt, a client's as *.cert with *.key (docs.docker.com,
// "Verify repository client with certificates"; containers-certs.d(5)).
func (r Registry) tls(dirs []string) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: r.InsecureTLS}
	cas, pairs := []string{}, [][2]string{}
	if r.CAFile != "" {
		cas = append(cas, r.CAFile)
	}
	if r.CertFile != "" || r.KeyFile != "" {
		pairs = append(pairs, [2]string{r.CertFile, r.KeyFile})
	}
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil && !os.IsNotExist(err) {
			return nil, fmt.Errorf("reading certificates: %w", err)
		}
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			switch filepath.Ext(path) {
			case ".crt":
				cas = append(cas, path)
			case ".cert":
				pairs = append(pairs, [2]string{path, strings.TrimSuffix(path, ".cert") + ".key"})
			}
		}
	}
	for _, path := range cas {
		if err := trust(cfg, path); err != nil {
			return nil, err
		}
	}
	for _, p := range pairs {
		cert, err := tls.LoadX509KeyPair(p[0], p[1])
		if err != nil {
			return nil, fmt.Errorf("reading client certificate %q with key %q: %w", p[0], p[1], err)
		}
		cfg.Certificates = append(cfg.Certificates, cert)
	}
	return cfg, nil
}

// trust adds the certificates of a PEM file to those of the system.
func trust(cfg *tls.Config, path string) error {
	pem, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading CA file: %w", err)
	}
	if cfg.RootCAs == nil {
		if cfg.RootCAs, err = x509.SystemCertPool(); err != nil {
			cfg.RootCAs = x509.NewCertPool()
		}
	}
	if !cfg.RootCAs.AppendCertsFromPEM(pem) {
		return fmt.Errorf("reading CA file %q: no PEM certificate in it", path)
	}
	return nil
}

// certDirs are the directories for one registry.
func certDirs(dirs []string, host string) []string {
	var out []string
	for _, dir := range dirs {
		out = append(out, filepath.Join(dir, host))
	}
	return out
}
