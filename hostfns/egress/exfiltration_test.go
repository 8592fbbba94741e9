package egress_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// stolen is a secret as vendors make them, with what escapes differ on.
const stolen = "sk_live/4eC39+HqLy=jWDarj"

// echoes are how a server may send a secret back.
func echoes() map[string]func(string) string {
	quoted := func(s string) string { q, _ := json.Marshal(s); return strings.Trim(string(q), `"`) }
	each := func(format string) func(string) string {
		return func(s string) string {
			var b strings.Builder
			for _, c := range []byte(s) {
				fmt.Fprintf(&b, format, c)
			}
			return b.String()
		}
	}
	return map[string]func(string) string{
		"raw":          func(s string) string { return s },
		"base64":       func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
		"base64 + 1":   func(s string) string { return base64.StdEncoding.EncodeToString([]byte("u" + s)) },
		"base64 + 2":   func(s string) string { return base64.RawStdEncoding.EncodeToString([]byte("u:" + s + "!")) },
		"base64url":    func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s + "??")) },
		"hex":          func(s string) string { return hex.EncodeToString([]byte(s)) },
		"HEX":          func(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) },
		"URL":          url.QueryEscape,
		"URL twice":    func(s string) string { return url.QueryEscape(url.QueryEscape(s)) },
		"URL, all":     each("%%%02x"),
		"JSON":         func(s string) string { return strings.ReplaceAll(quoted(s), "/", `\/`) },
		"JSON, units":  each(`\u%04x`),
		"JSON in JSON": func(s string) string { return quoted(each(`\u%04X`)(s)) },
		"HTML":         func(s string) string { return strings.ReplaceAll(html.EscapeString(s), "/", "&#x2F;") },
		"HTML, all":    each("&#%d;"),
		"reversed": func(s string) string {
			b := []byte(s)
			slices.Reverse(b)
			return string(b)
		},
		"in capitals": strings.ToUpper,
	}
}

// places are where in an answer it may stand.
func places() map[string]func(w http.ResponseWriter, echo string) {
	hijacked := func(answer func(echo string) string) func(http.ResponseWriter, string) {
		return func(w http.ResponseWriter, echo string) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			defer conn.Close()
			io.WriteString(conn, answer(echo))
		}
	}
	return map[string]func(http.ResponseWriter, string){
		"body":   func(w http.ResponseWriter, echo string) { io.WriteString(w, `{"token":"`+echo+`"}`) },
		"bytes":  func(w http.ResponseWriter, echo string) { io.WriteString(w, "\xff\xfe"+echo) },
		"header": func(w http.ResponseWriter, echo string) { w.Header().Set("X-Echo", "a "+echo+" b") },
		"cookie": func(w http.ResponseWriter, echo string) {
			w.Header()["Set-Cookie"] = []string{"t=" + echo + "; Path=/"}
		},
		"chunks": func(w http.ResponseWriter, echo string) {
			for _, c := range []byte(echo) {
				w.Write([]byte{c})
				w.(http.Flusher).Flush()
			}
		},
		"packed": func(w http.ResponseWriter, echo string) {
			w.Header().Set("Content-Encoding", "deflate")
			w.Write(inflatable([]byte(echo)))
		},
		"coding": func(w http.ResponseWriter, echo string) {
			w.Header().Set("Content-Encoding", echo)
			io.WriteString(w, "x")
		},
		"trailer": func(w http.ResponseWriter, echo string) {
			w.Header().Set(http.TrailerPrefix+"X-Echo", echo)
			w.Write(nil)
		},
		"status": hijacked(func(echo string) string { return "HTTP/1.1 200 " + echo + "\r\nContent-Length: 0\r\n\r\n" }),
		"number": hijacked(func(echo string) string { return "HTTP/1.1 " + echo + " OK\r\nContent-Length: 0\r\n\r\n" }),
		"length": hijacked(func(echo string) string { return "HTTP/1.1 200 OK\r\nContent-Length: " + echo + "\r\n\r\n" }),
		"early": hijacked(func(echo string) string {
			return "HTTP/1.1 103 Early Hints\r\nLink: " + echo + "\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
		}),
		"redirect, query":    func(w http.ResponseWriter, echo string) { moved(w, "https://evil.example/?t="+echo) },
		"redirect, path":     func(w http.ResponseWriter, echo string) { moved(w, "https://evil.example/"+echo) },
		"redirect, host":     func(w http.ResponseWriter, echo string) { moved(w, "https://"+echo+".evil.example/") },
		"redirect, user":     func(w http.ResponseWriter, echo string) { moved(w, "https://"+echo+"@evil.example/") },
		"redirect, scheme":   func(w http.ResponseWriter, echo string) { moved(w, echo+"://evil.example/") },
		"redirect, port":     func(w http.ResponseWriter, echo string) { moved(w, "https://evil.example:"+echo+"/") },
		"redirect, fragment": func(w http.ResponseWriter, echo string) { moved(w, "https://evil.example/#"+echo) },
		"not followed": func(w http.ResponseWriter, echo string) {
			w.Header()["Location"] = []string{"/" + echo}
			w.WriteHeader(http.StatusCreated)
		},
	}
}

func moved(w http.ResponseWriter, location string) {
	w.Header()["Location"] = []string{location}
	w.WriteHeader(http.StatusFound)
}

// TestHTTPLetsNoSecretBack tries each encoding in each place, and looks at all that is
// told: to the guest, and in the trace.
func TestHTTPLetsNoSecretBack(t *testing.T) {
	t.Parallel()
	all, in := echoes(), places()
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Token") != stolen {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		in[r.Header.Get("X-Place")](w, all[r.Header.Get("X-Encoding")](stolen))
	}, nil)
	cases := 0
	for place := range in {
		for encoding, encode := range all {
			cases++
			t.Run(place+" "+encoding, func(t *testing.T) {
				t.Parallel()
				seen := exfiltrate(t, b, place, encoding)
				for _, form := range []string{encode(stolen), stolen, strings.ToLower(stolen)} {
					if strings.Contains(seen, form) {
						t.Errorf("the guest or the trace saw %q: %s", form, seen)
					}
				}
			})
		}
	}
	t.Logf("%d cases", cases)
}

// exfiltrate is all that is seen of one attempt.
func exfiltrate(t *testing.T, b testBundle, place, encoding string) string {
	t.Helper()
	secrets := hostfns.NewRedactor()
	s := b.egress.Session(egress.Permissions{
		Rules: []egress.Rule{rule(b.host)}, Secrets: secrets,
		Credentials: credentials(func(_ string, r *http.Request) ([]string, error) {
			r.Header.Set("X-Token", stolen)
			return []string{stolen}, nil
		}),
	})
	gate := hostfns.NewGate(hostfns.GateConfig{Funcs: s.Funcs(), Secrets: secrets, Now: time.Now})
	request := using("c", "https://"+b.host+"/")
	request["headers"] = map[string][]string{"X-Place": {place}, "X-Encoding": {encoding}}
	doc, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	answered, err := gate.Call(t.Context(), runtime.Crossing{Func: "http", Request: doc})
	var response struct{ Result answer }
	if decoded := json.Unmarshal(answered.Response, &response); decoded != nil || response.Result.Status == http.StatusUnauthorized {
		t.Fatalf("got %s, %v", answered.Response, decoded)
	}
	seen := fmt.Sprintf("%s\n%v\n%v\n%v\n%v", answered.Response, err, gate.Steps(), response.Result.Headers, response.Result.text())
	if packed := response.Result.BodyBase64; packed != nil {
		plain, err := base64.StdEncoding.DecodeString(*packed)
		if err != nil {
			t.Fatal(err)
		}
		seen += string(plain)
	}
	return seen
}
