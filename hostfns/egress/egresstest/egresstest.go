// Package egresstest has what tests of egress need on this machine: names that lead where
// a test says, and a proxy that leads to a server which listens somewhere else.
//
//	config.Resolver = egresstest.Resolver(egresstest.Only("93.184.216.34"))
package egresstest

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
)

// Resolver answers from a function, which is asked once for each lookup of a
// kind (A or AAAA), over a pipe in DNS's framing for streams.
func Resolver(zone func(name string, v6 bool) []string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go serveDNS(far, zone)
		return near, nil
	}}
}

// Only resolves every name to addresses.
func Only(addrs ...string) func(string, bool) []string {
	return func(string, bool) []string { return addrs }
}

func serveDNS(conn net.Conn, zone func(string, bool) []string) {
	defer conn.Close()
	for {
		var size uint16
		if binary.Read(conn, binary.BigEndian, &size) != nil {
			return
		}
		query := make([]byte, size)
		if _, err := io.ReadFull(conn, query); err != nil {
			return
		}
		reply := replyTo(query, zone)
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)); err != nil {
			return
		}
	}
}

// replyTo builds an answer: https://www.rfc-editor.org/rfc/rfc1035#section-4.
func replyTo(query []byte, zone func(string, bool) []string) []byte {
	var labels []string
	end := 12
	for query[end] != 0 {
		n := int(query[end])
		labels = append(labels, string(query[end+1:end+1+n]))
		end += 1 + n
	}
	kind := binary.BigEndian.Uint16(query[end+1:])
	question := query[12 : end+5]
	var records []byte
	count := uint16(0)
	for _, s := range zone(strings.Join(labels, "."), kind == 28) {
		addr := netip.MustParseAddr(s)
		if addr.Is4() != (kind == 1) {
			continue
		}
		count++
		data := addr.AsSlice()
		records = append(records, 0xc0, 12, 0, byte(kind), 0, 1, 0, 0, 0, 0, 0, byte(len(data)))
		records = append(records, data...)
	}
	reply := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1}, byte(count>>8), byte(count), 0, 0, 0, 0)
	return append(append(reply, question...), records...)
}

// Proxy makes a proxy that tunnels with dial, and returns its URL. It ends with the test.
func Proxy(tb testing.TB, dial func(ctx context.Context, network, address string) (net.Conn, error)) string {
	tb.Helper()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		server, err := dial(r.Context(), "tcp", r.RequestURI)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer server.Close()
		client, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer client.Close()
		_, _ = io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n")
		Join(client, server)
	}))
	tb.Cleanup(proxy.Close)
	return proxy.URL
}

// Join passes what comes on one connection to the other, and back, until one ends, and
// closes both.
func Join(a, b net.Conn) {
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(a, b); _ = a.Close() })
	both.Go(func() { _, _ = io.Copy(b, a); _ = b.Close() })
	both.Wait()
}
