package registry

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// How long certificates are good for. What a Mac accepts of a CA of one's own
// is at most 825 days.
const (
	authorityLife   = 10 * 365 * 24 * time.Hour
	certificateLife = 397 * 24 * time.Hour
	renewBefore     = 30 * 24 * time.Hour
	lookAgain       = time.Hour // at the files, for a new certificate
)

// CertificateOptions say which certificate a server shows: that of CertFile, or
// one for SelfSigned.
type CertificateOptions struct {
	CertFile   string   // PEM certificate, with KeyFile
	KeyFile    string   // PEM key
	SelfSigned []string // host names and addresses, for a certificate by a CA of the server's own
	Dir        string   // of that CA and what it signs
	Warn       func(error)
}

// Certificates gives a server's certificate, the present one: files that
// change are read again, and what this package signs is renewed.
type Certificates struct {
	load   func(now time.Time) (*tls.Certificate, error)
	warn   func(error)
	caFile string

	mu      sync.Mutex
	current *tls.Certificate
	looked  time.Time
}

// OpenCertificates reads or makes a certificate; nil if none is named.
func OpenCertificates(o CertificateOptions) (*Certificates, error) {
	c := &Certificates{warn: o.Warn}
	switch {
	case len(o.SelfSigned) > 0:
		a := &authority{dir: o.Dir, names: o.SelfSigned}
		c.load, c.caFile = a.certificate, a.caFile()
	case o.CertFile != "":
		c.load = fileCertificate(o.CertFile, o.KeyFile)
	default:
		return nil, nil
	}
	return c, c.Reload()
}

// TLS is how a server speaks with the certificate.
func (c *Certificates) TLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
}

// CAFile is what clients must trust, of a CA of the server's own; "" without one.
func (c *Certificates) CAFile() string { return c.caFile }

// get is tls.Config.GetCertificate.
func (c *Certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) > lookAgain {
		if err := c.refresh(); err != nil {
			c.warn(err)
		}
	}
	return c.current, nil
}

// Reload looks at the files now. What cannot be read stays what it was.
func (c *Certificates) Reload() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refresh()
}

func (c *Certificates) refresh() error {
	c.looked = time.Now()
	cert, err := c.load(c.looked)
	if err == nil {
		c.current = cert
	}
	return err
}

// fileCertificate reads a certificate that the user has.
func fileCertificate(certFile, keyFile string) func(time.Time) (*tls.Certificate, error) {
	return func(now time.Time) (*tls.Certificate, error) {
		cert, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			return nil, &AccessError{fmt.Errorf("reading certificate %q with key %q: %w: name PEM files that belong together", certFile, keyFile, err)}
		}
		if now.After(cert.Leaf.NotAfter) {
			return nil, &AccessError{fmt.Errorf("reading certificate %q: it ended on %s: renew it, or correct the clock", certFile, cert.Leaf.NotAfter.Format(time.DateOnly))}
		}
		return &cert, nil
	}
}

// authority is a CA of the registry's own, and what it signs, in a directory.
type authority struct {
	dir   string
	names []string // host names and addresses
}

func (a *authority) caFile() string { return filepath.Join(a.dir, "ca.crt") }

// certificate gives a certificate for the names that is good for a while yet;
// it makes one, and the CA, if there is none.
func (a *authority) certificate(now time.Time) (*tls.Certificate, error) {
	cert, err := a.find(now)
	if err != nil {
		return nil, &AccessError{fmt.Errorf("making a certificate in %q: %w", a.dir, err)}
	}
	return cert, nil
}

func (a *authority) find(now time.Time) (*tls.Certificate, error) {
	ca, err := a.ca(now)
	if err != nil {
		return nil, err
	}
	certFile, keyFile := filepath.Join(a.dir, "server.crt"), filepath.Join(a.dir, "server.key")
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err == nil && a.fits(cert.Leaf, ca.Leaf, now) {
		return &cert, nil
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: a.names[0]}, NotAfter: earlier(now.Add(certificateLife), ca.Leaf.NotAfter),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range a.names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	return a.issue("server", template, ca)
}

// fits says whether a certificate is still the one to use.
func (a *authority) fits(leaf, ca *x509.Certificate, now time.Time) bool {
	names := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	want := make([]string, len(a.names))
	for i, name := range a.names {
		if want[i] = name; net.ParseIP(name) != nil {
			want[i] = net.ParseIP(name).String()
		}
	}
	slices.Sort(names)
	slices.Sort(want)
	return slices.Equal(names, want) && leaf.CheckSignatureFrom(ca) == nil && now.Add(renewBefore).Before(leaf.NotAfter)
}

func (a *authority) ca(now time.Time) (*tls.Certificate, error) {
	ca, err := tls.LoadX509KeyPair(a.caFile(), filepath.Join(a.dir, "ca.key"))
	switch {
	case err == nil && now.After(ca.Leaf.NotAfter):
		return nil, fmt.Errorf("the CA ended on %s: remove the directory, start again and configure the clients anew, or correct the clock", ca.Leaf.NotAfter.Format(time.DateOnly))
	case err == nil:
		return &ca, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("reading the CA: %w: remove the directory, start again and configure the clients anew", err)
	}
	if _, err := os.Stat(a.caFile()); err == nil {
		return nil, fmt.Errorf("reading the CA: ca.key is missing: put it back, or remove the directory and configure the clients anew")
	}
	if now.Year() < 2025 {
		return nil, fmt.Errorf("the clock says %s: set it first, or nobody will accept the certificate", now.Format(time.DateOnly))
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	return a.issue("ca", &x509.Certificate{
		Subject: pkix.Name{CommonName: "riscv-build registry on " + host}, NotAfter: now.Add(authorityLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, nil)
}

// issue makes a key and a certificate, signed by ca, or by itself without one,
// and writes them: the key first, which is of no use without the other.
func (a *authority) issue(name string, template *x509.Certificate, ca *tls.Certificate) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template.NotBefore = time.Now().Add(-24 * time.Hour) // the clocks of boards
	template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	parent, signer := template, crypto.PrivateKey(key)
	if ca != nil {
		parent, signer = ca.Leaf, ca.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	if err := makeDir(a.dir); err != nil {
		return nil, err
	}
	if err := writeMode(a.dir, filepath.Join(a.dir, name+".key"), keyPEM, 0o600); err != nil {
		return nil, err
	}
	if err := writeMode(a.dir, filepath.Join(a.dir, name+".crt"), certPEM, 0o644); err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	return &cert, err
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
