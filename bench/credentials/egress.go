package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/bench/internal/database"
	"github.com/cofferdam-run/cofferdam/bench/internal/stopwatch"
	"github.com/cofferdam-run/cofferdam/bench/internal/vendor"
	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// token is the credential, as long as those of vendors are.
const token = "tok_0123456789abcdefghijklmnopqrstuvwxyz"

// side makes one request.
type side func(ctx context.Context) error

// egress compares a guest's request with the same one of an http.Client: 1 KiB of JSON
// there, 1 KiB back, with a credential, over TLS on a connection that is kept. A run makes
// one request: what a Session of its own costs is in it. What the gate adds, which
// allows, counts, traces, redacts and encodes, and what the test of the answer takes, is a
// peer of its own.
func (s *suite) egress(ctx context.Context, _ *database.Database) (err error) {
	v, err := vendor.Start(ctx, vendor.TLS)
	if err != nil {
		return err
	}
	opened := []io.Closer{v}
	defer func() { err = errors.Join(err, closeAll(opened)) }()

	way := egress.New(egress.Config{AllowAddrs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, RootCAs: v.Roots})
	opened = append(opened, closer(way.Close))
	g, err := askerOf(way, v)
	if err != nil {
		return err
	}
	bare, timed := clientOf(v, 0), clientOf(v, 30*time.Second)
	opened = append(opened, closer(bare.client.CloseIdleConnections), closer(timed.client.CloseIdleConnections))

	asking := func(ask side) func() error { return func() error { return ask(ctx) } }
	measured, err := stopwatch.Turns(s.rounds, s.requests, asking(bare.request), asking(g.anonymous), asking(g.request), asking(g.crossing), asking(timed.request))
	if err != nil {
		return err
	}
	base := measured[0]
	ratio := func(i int, by func(stopwatch.Cost) float64) float64 { return stopwatch.Over(measured[i], base, by) }
	spread := stopwatch.Each(measured[2], base, stopwatch.ByWall, stopwatch.Divided)
	s.print("egress_overhead", ratio(2, stopwatch.ByWall), "ratio", s.atMost(ratio(2, stopwatch.ByWall), 1.15),
		peer("best", stopwatch.Quantile(spread, 0)), peer("worst", stopwatch.Quantile(spread, 1)), peer("cpu", ratio(2, stopwatch.ByCPU)),
		peer("without_credential", ratio(1, stopwatch.ByWall)), peer("through_gate", ratio(3, stopwatch.ByWall)),
		peer("through_gate_cpu", ratio(3, stopwatch.ByCPU)), peer("client_with_timeout", ratio(4, stopwatch.ByWall)))
	s.print("egress_request_us", 1e6*stopwatch.Middle(measured[2], stopwatch.ByWall), "us", peer("client", 1e6*stopwatch.Middle(base, stopwatch.ByWall)),
		peer("cpu", 1e6*stopwatch.Middle(measured[2], stopwatch.ByCPU)), peer("client_cpu", 1e6*stopwatch.Middle(base, stopwatch.ByCPU)))
	return nil
}

// closer is a function that closes and cannot fail.
type closer func()

// Close implements io.Closer.
func (c closer) Close() error { c(); return nil }

// client is the peer: what a program would use that holds its credentials itself.
type client struct {
	client *http.Client
	url    string
	body   string
}

func clientOf(v *vendor.Vendor, timeout time.Duration) *client {
	return &client{url: v.URL + "/things", body: vendor.Payload(), client: &http.Client{
		Timeout:   timeout,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: v.Roots, MinVersion: tls.VersionTLS12}},
	}}
}

func (c *client) request(ctx context.Context) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, strings.NewReader(c.body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := c.client.Do(r)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return err
	}
	return complete(response.StatusCode, len(body))
}

// complete says whether an answer is the one that is measured.
func complete(status, length int) error {
	if status != http.StatusOK || length != vendor.PayloadBytes {
		return fmt.Errorf("the vendor answered %d with %d bytes", status, length)
	}
	return nil
}

// asker asks as guests do, in JSON.
type asker struct {
	way         *egress.Egress
	permissions egress.Permissions
	// named asks with the connection, and plain without.
	named, plain json.RawMessage
}

func askerOf(way *egress.Egress, v *vendor.Vendor) (*asker, error) {
	u, err := url.Parse(v.URL)
	if err != nil {
		return nil, err
	}
	credentials, err := connection.Held(map[string]connection.Spec{"vendor": {
		Name: "vendor", Type: connection.Bearer, Hosts: []string{u.Host}, Credential: connection.Credential{Token: token},
	}}, time.Now)
	if err != nil {
		return nil, err
	}
	g := &asker{way: way, permissions: egress.Permissions{
		Rules:       []egress.Rule{{Host: u.Host, Methods: []string{http.MethodGet, http.MethodPost}}},
		Credentials: credentials, Pool: "tenant",
	}}
	asks := map[string]any{
		"method": "POST", "url": v.URL + "/things", "body": vendor.Payload(),
		"headers": map[string][]string{"content-type": {"application/json"}},
	}
	plain, err1 := json.Marshal(asks)
	asks["connection"] = "vendor"
	named, err2 := json.Marshal(asks)
	g.named, g.plain = named, plain
	return g, errors.Join(err1, err2)
}

// session is a run's.
func (g *asker) session() (*egress.Session, *hostfns.Redactor) {
	p := g.permissions
	p.Secrets = hostfns.NewRedactor()
	return g.way.Session(p), p.Secrets
}

func (g *asker) request(ctx context.Context) error   { return g.ask(ctx, g.named) }
func (g *asker) anonymous(ctx context.Context) error { return g.ask(ctx, g.plain) }

func (g *asker) ask(ctx context.Context, raw json.RawMessage) error {
	session, _ := g.session()
	_, err := session.Funcs()[0].Answer(ctx, raw)
	return err
}

// crossing asks through a gate, which allows, counts, traces, redacts and encodes.
func (g *asker) crossing(ctx context.Context) error {
	session, secrets := g.session()
	gate := hostfns.NewGate(hostfns.GateConfig{Funcs: session.Funcs(), Secrets: secrets, Now: time.Now})
	answer, err := gate.Call(ctx, runtime.Crossing{Func: "http", Request: g.named})
	if err != nil {
		return err
	}
	result, err := hostfns.Open(answer.Response)
	if err != nil {
		return err
	}
	var told struct {
		Status int
		Body   string
	}
	if err := json.Unmarshal(result, &told); err != nil {
		return err
	}
	return complete(told.Status, len(told.Body))
}
