package egress_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// credentials are a function.
type credentials func(name string, r *http.Request) ([]string, error)

func (c credentials) Apply(_ context.Context, name string, r *http.Request) ([]string, error) {
	return c(name, r)
}

const token = `tok/en+0123456789"ü`

// bearer adds the token as vendors have it.
func bearer(_ string, r *http.Request) ([]string, error) {
	r.Header.Set("X-Token", url.PathEscape(token))
	return []string{token}, nil
}

func (b testBundle) with(c credentials, more ...egress.Rule) *egress.Session {
	return b.egress.Session(egress.Permissions{Rules: append(more, rule(b.host)), Credentials: c})
}

func using(connection, url string) map[string]any {
	return map[string]any{"connection": connection, "method": "GET", "url": url}
}

func TestHTTPAddsACredentialThatTheGuestNeverSees(t *testing.T) {
	t.Parallel()
	echoes := map[string]func(string) string{
		"raw":    func(s string) string { return s },
		"quoted": func(s string) string { q, _ := json.Marshal(s); return string(q) },
		"base64": func(s string) string { return base64.StdEncoding.EncodeToString([]byte("Bearer " + s + "\n")) },
		"hex":    func(s string) string { return hex.EncodeToString([]byte(s)) },
		"query":  url.QueryEscape,
		"bytes":  func(s string) string { return "\xff\xfe" + s },
	}
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		got, err := url.PathUnescape(r.Header.Get("X-Token"))
		if err != nil || got != token {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		echo := echoes[strings.TrimPrefix(r.URL.Path, "/")](got)
		w.Header().Set("X-Echo", strings.ReplaceAll(echo, "\n", ""))
		w.Header()["X-"+url.PathEscape(got)] = []string{"name"}
		body := []byte("before " + echo + " after")
		if r.URL.RawQuery == "packed" {
			w.Header().Set("Content-Encoding", "gzip")
			body = gzipped(t, body)
		}
		w.Write(body)
	}, nil)
	for name, encode := range echoes {
		for _, query := range []string{"", "?packed"} {
			t.Run(name+query, func(t *testing.T) {
				t.Parallel()
				secrets := hostfns.NewRedactor()
				s := b.egress.Session(egress.Permissions{Rules: []egress.Rule{rule(b.host)}, Credentials: credentials(bearer), Secrets: secrets})
				gate := hostfns.NewGate(hostfns.GateConfig{Funcs: s.Funcs(), Secrets: secrets, Now: time.Now})
				request := using("github", "https://"+b.host+"/"+name+query)
				request["headers"] = map[string][]string{"Accept-Encoding": {"br"}}
				doc, err := json.Marshal(request)
				if err != nil {
					t.Fatal(err)
				}
				answered, err := gate.Call(t.Context(), runtime.Crossing{Func: "http", Request: doc})
				if err != nil {
					t.Fatal(err)
				}
				var response struct{ Result answer }
				if err := json.Unmarshal(answered.Response, &response); err != nil {
					t.Fatal(err)
				}
				if response.Result.Status != http.StatusOK {
					t.Fatalf("the server refused the credential: %s", answered.Response)
				}
				seen := fmt.Sprint(response.Result.Headers, response.Result.text(), gate.Steps())
				if packed := response.Result.BodyBase64; packed != nil {
					plain, err := base64.StdEncoding.DecodeString(*packed)
					if err != nil {
						t.Fatal(err)
					}
					seen += string(plain)
				}
				if strings.Contains(seen, token) || strings.Contains(seen, encode(token)) || strings.Contains(seen, url.PathEscape(token)) {
					t.Errorf("the guest or the trace saw the credential: %s", seen)
				}
				if !strings.Contains(seen, "[redacted]") {
					t.Errorf("nothing was redacted: %s", seen)
				}
			})
		}
	}
}

func TestHTTPRefusesAnswersThatCannotBeSearched(t *testing.T) {
	t.Parallel()
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "br")
		io.WriteString(w, r.Header.Get("Accept-Encoding"))
	}, nil)
	s := b.with(bearer)
	asked := get("https://" + b.host)
	asked["headers"] = map[string][]string{"Accept-Encoding": {"br"}}
	if got := must(t, s, asked).text(); got != "br" {
		t.Errorf("without a credential, and asked for: got %q", got)
	}
	wantError(t, s, get("https://"+b.host), hostfns.CodeNetwork, "was not asked for")
	wantError(t, s, using("c", "https://"+b.host), hostfns.CodeNetwork, "cannot be searched for credentials")
	wantError(t, s, asked, hostfns.CodeNetwork, "cannot be searched for credentials")
}

func TestHTTPExplainsConnections(t *testing.T) {
	t.Parallel()
	b := setup(t, mirror, nil)
	url := "https://" + b.host
	tests := map[string]struct {
		credentials credentials
		code        hostfns.Code
		want        string
	}{
		"that are missing": {
			func(string, *http.Request) ([]string, error) {
				return nil, fmt.Errorf("%w: ask the tenant to connect an account", egress.ErrNoConnection)
			}, hostfns.CodeNoConnection, `connection "crm": no such connection: ask the tenant to connect an account`,
		},
		"that belong elsewhere": {
			func(string, *http.Request) ([]string, error) {
				return nil, fmt.Errorf("%w: it is for api.example.com", egress.ErrHostNotAllowed)
			}, hostfns.CodeDenied, `connection "crm" at https://` + b.host + `: the connection is not for this host: it is for api.example.com`,
		},
		"with an error of their own": {
			func(string, *http.Request) ([]string, error) { return nil, hostfns.Errorf("auth", "expired") }, "auth", "expired",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantError(t, b.with(tt.credentials), using("crm", url), tt.code, tt.want)
		})
	}
	t.Run("where there are none at all", func(t *testing.T) {
		t.Parallel()
		wantError(t, b.session(), using("crm", url), hostfns.CodeNoConnection, `the installation has no connections, and so none named "crm"`)
	})
	t.Run("beside a header of the guest's", func(t *testing.T) {
		t.Parallel()
		request := using("crm", url)
		request["headers"] = map[string][]string{"AUTHORIZATION": {"Bearer mine"}}
		wantError(t, b.with(bearer), request, hostfns.CodeInvalidRequest, `comes from the connection "crm"`)
	})
	for _, name := range []string{"Range", "range", "If-Range"} {
		t.Run("beside the header "+name, func(t *testing.T) {
			t.Parallel()
			request := using("crm", url)
			request["headers"] = map[string][]string{name: {"bytes=0-3"}}
			want := fmt.Sprintf("%q cannot be used with the connection \"crm\"", strings.ToLower(name))
			wantError(t, b.with(bearer), request, hostfns.CodeInvalidRequest, want)
			delete(request, "connection")
			if got := must(t, b.session(), request).Headers["x-got-"+strings.ToLower(name)]; len(got) != 1 || got[0] != "bytes=0-3" {
				t.Errorf("without a connection: the server got %q, want it", got)
			}
		})
	}
	fatal := map[string]credentials{
		"that cannot be read": func(string, *http.Request) ([]string, error) { return nil, errors.New("key file is gone") },
		"that change the host": func(_ string, r *http.Request) ([]string, error) {
			r.URL.Host = "evil.example"
			return nil, nil
		},
		"that change the Host header": func(_ string, r *http.Request) ([]string, error) {
			r.Host = "evil.example"
			return nil, nil
		},
	}
	for name, c := range fatal {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			doc, err := json.Marshal(using("crm", url))
			if err != nil {
				t.Fatal(err)
			}
			if _, told, err := doRaw(t.Context(), b.with(c), doc); err == nil || !strings.HasPrefix(err.Error(), "apply credential: ") {
				t.Errorf("got %v, %v, want the end of the call", told, err)
			}
		})
	}
	t.Run("only once the rules allow", func(t *testing.T) {
		t.Parallel()
		s := b.with(func(string, *http.Request) ([]string, error) {
			t.Error("the credential was applied")
			return nil, nil
		})
		wantError(t, s, using("crm", "https://denied.example"), hostfns.CodeDenied, "")
	})
}

func TestHTTPKeepsACredentialAtItsOrigin(t *testing.T) {
	t.Parallel()
	applied := func(a answer) bool { return a.Headers["x-got-x-token"] != nil }
	other := setup(t, redirector, nil)
	b := setup(t, redirector, func(c *egress.Config) { c.RootCAs.AddCert(other.server.Certificate()) })
	session := func() *egress.Session { return b.with(bearer, rule(other.host)) }
	home, away := "https://"+b.host, "https://"+other.host

	if a := must(t, session(), using("c", redirecting(b.host, 302, "/end"))); !applied(a) {
		t.Error("on the way to the same origin it was lost")
	}
	if a := must(t, session(), using("c", redirecting(b.host, 302, away+"/end"))); applied(a) || a.Headers["x-host"][0] != other.host {
		t.Error("another origin got it")
	}
	back := redirecting(b.host, 302, redirecting(other.host, 302, home+"/end"))
	if a := must(t, session(), using("c", back)); applied(a) || a.Headers["x-host"][0] != b.host {
		t.Error("another origin chose a path for it")
	}
	leak := b.with(func(string, *http.Request) ([]string, error) { return []string{"0123456789"}, nil }, rule(other.host))
	wantError(t, leak, using("c", redirecting(b.host, 302, away+"/?key=0123456789")), hostfns.CodeDenied, "with a credential in the URL")
}
