package ovsdb

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"netbraid/internal/model"
)

// within connects from inside the world's namespace.
func (w *world) within(b *Backend) {
	dial := b.dial
	b.dial = func(ctx context.Context) (nc net.Conn, err error) {
		err = errors.Join(w.ns.Do(func() error { nc, err = dial(ctx); return err }))
		return nc, err
	}
}

// TestTCP: over TCP, with the server asking for signs of life.
func TestTCP(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Vsctl(`set-manager ptcp:6640:127.0.0.1 -- set manager . inactivity_probe=1000`)
	w.Server.Kill()
	w.StartServer("--remote=db:Open_vSwitch,Open_vSwitch,manager_options")
	b := w.backendWith(Options{Target: "tcp:127.0.0.1:6640"}, w.within)
	b.Set([]model.Switch{w.bridge("br0", internal("p0")...)})
	b.wait("br0 there p0+")
	time.Sleep(3500 * time.Millisecond) // more than the server would wait
	b.Set([]model.Switch{w.bridge("br0", internal("p0", "p1")...)})
	b.wait("br0 there p0+ p1+")
	if n := strings.Count(b.said(), "ovsdb: connected"); n != 1 {
		t.Errorf("%d connections:\n%s", n, b.said())
	}
}

// TestTLS: over TLS, both sides with certificates of a CA; and refused when
// the server's are of another one.
func TestTLS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	certs(t, w.Dir, "ca", "server", "client")
	other := t.TempDir()
	certs(t, other, "ca", "client")
	at := func(n string) string { return filepath.Join(w.Dir, n) }
	w.Server.Kill()
	w.StartServer("--remote=pssl:6641:127.0.0.1", "--private-key="+at("server.key"), "--certificate="+at("server.pem"), "--ca-cert="+at("ca.pem"))
	const target = "ssl:127.0.0.1:6641"
	b := w.backendWith(Options{Target: target, Cert: at("client.pem"), Key: at("client.key"), CACert: at("ca.pem")}, w.within)
	b.Set([]model.Switch{w.bridge("br0", internal("p0")...)})
	b.wait("br0 there p0+")

	bad := w.backendWith(Options{ID: "bad", Target: target, Cert: at("client.pem"), Key: at("client.key"), CACert: filepath.Join(other, "ca.pem")}, w.within)
	bad.Set([]model.Switch{w.bridge("br1")})
	bad.wait("br1 (cannot work with ovsdb-server at " + target + ": TLS with " + target + ": x509: certificate signed by unknown authority*")
	bad = w.backendWith(Options{ID: "bad", Target: target, Cert: filepath.Join(other, "client.pem"), Key: filepath.Join(other, "client.key"), CACert: at("ca.pem")}, w.within)
	bad.Set([]model.Switch{w.bridge("br1")})
	bad.wait("br1 (cannot work with ovsdb-server at " + target + ": *")
	bad = w.backendWith(Options{ID: "bad", Target: target}, w.within)
	bad.Set([]model.Switch{w.bridge("br1")})
	bad.wait(`br1 (cannot work with ovsdb-server at ` + target + `: "` + target + `" needs a certificate, its private key and the CA's certificate)`)
	if got := w.Vsctl("list-br"); got != "br0" {
		t.Errorf("bridges: %q", got)
	}
}

// certs writes certificates of a new CA, the first name: NAME.pem, NAME.key.
func certs(t *testing.T, dir string, names ...string) {
	t.Helper()
	var ca *x509.Certificate
	var caKey *ecdsa.PrivateKey
	for i, name := range names {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{
			SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: name + " " + dir},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, IsCA: i == 0,
		}
		parent, parentKey := ca, caKey
		if i == 0 {
			c.KeyUsage = x509.KeyUsageCertSign
			parent, parentKey = c, key
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, parentKey)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if ca, err = x509.ParseCertificate(der); err != nil {
				t.Fatal(err)
			}
			caKey = key
		}
		keyDER, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		for ext, b := range map[string]*pem.Block{".pem": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: keyDER}} {
			if err := os.WriteFile(filepath.Join(dir, name+ext), pem.EncodeToMemory(b), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}
