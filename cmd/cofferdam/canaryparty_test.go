package main

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// canaryParty is a third party, over TLS, that tells everybody what it was told. The
// first part of a path is whose it is.
type canaryParty struct {
	*httptest.Server

	// roots is a file with its certificate.
	roots string
	// says is what it answers to a feed.
	says func(tenant string) string
	// held is called while a guest waits for the answer.
	held func(tenant string)

	mu  sync.Mutex
	had map[string]bool
	// told is how often a credential has come.
	told int
}

func newCanaryParty(t *testing.T) *canaryParty {
	t.Helper()
	p := &canaryParty{had: map[string]bool{}, roots: filepath.Join(t.TempDir(), "roots.pem"), held: func(string) {}}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(p.serve))
	p.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	p.StartTLS()
	t.Cleanup(p.Close)
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw})
	if err := os.WriteFile(p.roots, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *canaryParty) serve(w http.ResponseWriter, r *http.Request) {
	tenant, what, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	echo := p.echo(r)
	switch what {
	case "feed":
		fmt.Fprint(w, p.says(tenant))
	case "hold":
		p.held(tenant)
	case "flaky":
		if p.first(r.URL.String()) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = w.Write(echo)
	case "redirect":
		http.Redirect(w, r, "/"+tenant+"/echo?was="+url.QueryEscape(r.Header.Get("Authorization"))+"&"+r.URL.RawQuery, http.StatusFound)
	case "abort":
		panic(http.ErrAbortHandler)
	case "malformed":
		p.raw(w, "HTTP/1.1 200 OK\r\n"+strings.ReplaceAll(string(echo), "\n", " ")+"\r\n\r\n")
	case "after":
		p.raw(w, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"+string(echo))
	default:
		w.Header().Set("X-Echo", r.Header.Get("Authorization")+r.Header.Get("X-Api-Key")+r.URL.RawQuery)
		_, _ = w.Write(echo)
	}
}

// echo is all of a request, in all forms.
func (p *canaryParty) echo(r *http.Request) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s\n", r.Method, r.URL)
	_ = r.Header.Write(&b)
	_, password, _ := r.BasicAuth()
	fmt.Fprintln(&b, password)
	_, _ = io.Copy(&b, r.Body)
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.Header.Get("Authorization")+r.Header.Get("X-Api-Key")+r.Header.Get("X-Signature")+r.URL.RawQuery != "" || len(r.TLS.PeerCertificates) > 0 {
		p.told++
	}
	text := b.String()
	quoted, _ := json.Marshal(text)
	return fmt.Appendf(nil, "%s\n%s\n%s\n%s\n%s\n%s", text, base64.StdEncoding.EncodeToString([]byte(text)),
		base64.RawURLEncoding.EncodeToString([]byte(text)), hex.EncodeToString([]byte(text)), url.QueryEscape(text), quoted)
}

func (p *canaryParty) first(what string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.had[what]
	p.had[what] = true
	return !was
}

// raw answers with no regard for HTTP.
func (p *canaryParty) raw(w http.ResponseWriter, answer string) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = io.WriteString(c, answer)
}
