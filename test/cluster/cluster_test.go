// Package cluster_test holds what is promised of a cluster to three programs, `cofferdam
// serve`, on one Postgres, which share nothing else.
package cluster_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
	"github.com/cofferdam-run/cofferdam/test/processtest"
)

// processes is how many servers there are.
const processes = 3

func TestMain(m *testing.M) { postgrestest.Main(built{m}) }

// built removes what the tests have built.
type built struct{ m *testing.M }

func (b built) Run() int {
	defer os.RemoveAll(programDir())
	return b.m.Run()
}

var programDir = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "cofferdam-cluster")
	if err != nil {
		panic(err)
	}
	return dir
})

var program = sync.OnceValues(func() (string, error) { return processtest.Build(programDir()) })

// cluster is a database and its servers.
type cluster struct {
	dsn, key, program string
	env               []string
	first             *processtest.Server
	members           []*member
	// tunnels are members by the address from which a vendor sees what they send.
	tunnels sync.Map
}

// member is a server, and the proxy that all of its plugins' requests go through: so a
// vendor knows which process has sent one.
type member struct {
	*processtest.Server
	api *processtest.Client

	tunnels *sync.Map
}

func launch(t *testing.T, env ...string) *cluster {
	t.Helper()
	dsn := postgrestest.DSN(t)
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{dsn: dsn, key: filepath.Join(t.TempDir(), "key.json"), program: path, env: env}
	for range processes {
		c.members = append(c.members, c.start(t))
	}
	return c
}

// start starts a server of the cluster.
func (c *cluster) start(t *testing.T) *member {
	t.Helper()
	m := &member{tunnels: &c.tunnels}
	proxy := httptest.NewServer(m)
	t.Cleanup(proxy.Close)
	m.Server = processtest.Serve(t, processtest.ServerConfig{
		Program: c.program, Args: []string{"--egress-proxy", proxy.URL},
		Env: append([]string{"COFFERDAM_LOG_LEVEL=warn", "COFFERDAM_DB=" + c.dsn, "COFFERDAM_KEY_FILE=" + c.key}, c.env...),
	})
	if c.first == nil {
		c.first = m.Server
	}
	m.api = m.Client(t, c.first)
	return m
}

// replace starts a server in the place of one that has died, as a supervisor does.
func (c *cluster) replace(t *testing.T, dead *member) {
	t.Helper()
	for i, m := range c.members {
		if m == dead {
			c.members[i] = c.start(t)
		}
	}
}

// sender is the process that has sent a request to a vendor.
func (c *cluster) sender(r *http.Request) *member {
	m, _ := c.tunnels.Load(r.RemoteAddr)
	found, _ := m.(*member)
	return found
}

// ServeHTTP implements http.Handler: it makes tunnels.
func (m *member) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var d net.Dialer
	out, err := d.DialContext(r.Context(), "tcp", r.Host)
	if err != nil || r.Method != http.MethodConnect {
		http.Error(w, "no tunnel", http.StatusBadGateway)
		return
	}
	defer out.Close()
	in, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer in.Close()
	m.tunnels.Store(out.LocalAddr().String(), m)
	if _, err := io.WriteString(in, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	ended := make(chan struct{}, 2)
	for _, way := range []struct{ to, from net.Conn }{{out, in}, {in, out}} {
		go func() {
			_, _ = io.Copy(way.to, way.from)
			ended <- struct{}{}
		}()
	}
	<-ended // Where one side is gone, the other is told.
}

// must calls the API of a member.
func (m *member) must(t *testing.T, method, path string, in, out any) {
	t.Helper()
	if err := m.api.Call(t.Context(), method, path, in, out); err != nil {
		t.Fatal(err)
	}
}

// tenant makes the tenant acme.
func (c *cluster) tenant(t *testing.T, running int) {
	t.Helper()
	c.members[0].must(t, http.MethodPost, "/v1/tenants", map[string]any{"name": "acme", "limits": map[string]any{"running": running}}, nil)
}

// install publishes a plugin and installs it for acme, at most so often at a time: 0 is as
// the tenant may. It returns the installation's id.
func (c *cluster) install(t *testing.T, name string, wasm []byte, running int) string {
	t.Helper()
	c.members[0].must(t, http.MethodPost, "/v1/plugins", wasm, nil)
	var in struct{ ID string }
	c.members[0].must(t, http.MethodPost, "/v1/tenants/acme/installations", map[string]any{"plugin": name, "max_running": running}, &in)
	return in.ID
}

// call queues an execution of a plugin's action "go" through one of the members.
func (m *member) call(t *testing.T, installation string) string {
	t.Helper()
	var started struct{ Execution string }
	m.must(t, http.MethodPost, "/v1/tenants/acme/installations/"+installation+"/actions/go?mode=async", map[string]any{}, &started)
	return started.Execution
}

// atOnce has what is queued meanwhile run once all of it is.
func (c *cluster) atOnce(t *testing.T, queue func()) {
	t.Helper()
	c.members[0].must(t, http.MethodPost, "/v1/tenants/acme/pause", nil, nil)
	queue()
	c.members[0].must(t, http.MethodPost, "/v1/tenants/acme/resume", nil, nil)
}

// look connects to the database, beside the servers.
func (c *cluster) look(t *testing.T) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), c.dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

// one reads a row.
func one(t *testing.T, conn *pgx.Conn, query string, into ...any) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), query).Scan(into...); err != nil {
		t.Fatal(err)
	}
}

// asking is a manifest of a plugin whose action makes a request to a vendor, with what else
// the manifest has.
func asking(name, vendor, more string) string {
	u, err := url.Parse(vendor)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf(`{"name":%q,"version":"1.0.0","actions":[{"name":"go"}],"egress":[{"host":%q,"methods":["GET","POST"]}]%s}`, name, u.Host, more)
}
