package rfc7047

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strings"
)

// Target is where a server listens, in the notation of ovsdb(7):
// unix:PATH, tcp:HOST[:PORT], ssl:HOST[:PORT]. The port is 6640 unless given.
// ssl needs the files, PEM: our certificate and key, and the CA's certificate
// that the server's is checked against.
type Target struct {
	Addr                string
	Cert, Key, CACert   string
	network, host, path string
}

const defaultPort = "6640"

// parse splits the address.
func (t *Target) parse() error {
	network, rest, ok := strings.Cut(t.Addr, ":")
	switch {
	case !ok || rest == "":
		return fmt.Errorf("%q is no place of an ovsdb-server: give unix:PATH, tcp:HOST:PORT or ssl:HOST:PORT", t.Addr)
	case network == "unix":
		t.network, t.path = "unix", rest
		return nil
	case network != "tcp" && network != "ssl":
		return fmt.Errorf("%q: %q is not unix, tcp or ssl", t.Addr, network)
	case network == "ssl" && (t.Cert == "" || t.Key == "" || t.CACert == ""):
		return fmt.Errorf("%q needs a certificate, its private key and the CA's certificate", t.Addr)
	}
	host, port, err := net.SplitHostPort(rest)
	if err != nil {
		host, port = strings.Trim(rest, "[]"), defaultPort
	}
	t.network, t.host, t.path = network, host, net.JoinHostPort(host, port)
	return nil
}

// Dial connects. The certificates are read each time.
func (t *Target) Dial(ctx context.Context) (net.Conn, error) {
	if err := t.parse(); err != nil {
		return nil, err
	}
	var d net.Dialer
	network := t.network
	if network == "ssl" {
		network = "tcp"
	}
	nc, err := d.DialContext(ctx, network, t.path)
	if err != nil || t.network != "ssl" {
		return nc, err
	}
	conf, err := t.tls()
	if err == nil {
		tc := tls.Client(nc, conf)
		if err = tc.HandshakeContext(ctx); err == nil {
			return tc, nil
		}
		err = fmt.Errorf("TLS with %s: %w", t.Addr, err)
	}
	nc.Close()
	return nil, err
}

// tls is the client's side. As with Open vSwitch's own programs, the server
// must have a certificate of the CA, whatever name stands in it (ovs-pki(8)
// makes them without a host's name).
func (t *Target) tls() (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(t.CACert)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate", t.CACert)
	}
	return &tls.Config{
		Certificates:       []tls.Certificate{cert},
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // the name; VerifyConnection does the rest
		VerifyConnection: func(s tls.ConnectionState) error {
			opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
			if len(s.PeerCertificates) == 0 {
				return fmt.Errorf("the server shows no certificate")
			}
			for _, c := range s.PeerCertificates[1:] {
				opts.Intermediates.AddCert(c)
			}
			_, err := s.PeerCertificates[0].Verify(opts)
			return err
		},
	}, nil
}
