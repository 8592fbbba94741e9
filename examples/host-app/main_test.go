package main

import (
	"context"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/test/browser/browsertest"
)

// harbor is the whole example, run as main runs it.
type harbor struct {
	t           *testing.T
	desk, admin string
}

func newHarbor(t *testing.T) *harbor {
	t.Helper()
	listen := func() net.Listener {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	o := options{Desk: listen(), Vendor: listen(), Data: t.TempDir(), Plugin: "plugin", Out: t.Output()}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx, o) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("run: got %v, want a clean end", err)
		}
	})
	return &harbor{t: t, desk: "http://" + o.Desk.Addr().String(), admin: "http://" + o.Vendor.Addr().String() + "/admin"}
}

// in is the same in a part of the test.
func (h *harbor) in(t *testing.T) *harbor {
	t.Helper()
	return &harbor{t: t, desk: h.desk, admin: h.admin}
}

// visitor is somebody's browser, without JavaScript.
type visitor struct {
	t *testing.T
	h *harbor
	c *http.Client
	// at is the address of the page that it shows.
	at *url.URL
}

// visitor signs in for a customer, unless that is empty.
func (h *harbor) visitor(customer string) *visitor {
	h.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	v := &visitor{t: h.t, h: h, c: &http.Client{Jar: jar, Timeout: time.Minute}}
	if customer != "" {
		v.post(h.desk+"/sign-in", url.Values{"customer": {customer}})
	}
	return v
}

func (v *visitor) get(address string) (int, string) {
	v.t.Helper()
	return v.do("GET", address, nil)
}

func (v *visitor) post(address string, form url.Values, header ...string) (int, string) {
	v.t.Helper()
	return v.do("POST", address, form, header...)
}

func (v *visitor) do(method, address string, form url.Values, header ...string) (int, string) {
	v.t.Helper()
	r, err := http.NewRequestWithContext(v.t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	if method == "POST" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := v.c.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	v.at = answer.Request.URL
	return answer.StatusCode, string(body)
}

// page is the integrations page.
func (v *visitor) page() string {
	v.t.Helper()
	status, page := v.get(v.h.desk + "/integrations")
	if status != http.StatusOK {
		v.t.Fatalf("the integrations page: got %d %s", status, page)
	}
	return page
}

// pageWith waits for a page that has a text.
func (v *visitor) pageWith(text string) string {
	v.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		page := v.page()
		if strings.Contains(page, text) {
			return page
		}
		if time.Now().After(deadline) {
			v.t.Fatalf("there is no %q on the page: %s", text, page)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// hidden are the values of a form's hidden inputs: the form whose action ends so.
func hidden(t *testing.T, page, action string) url.Values {
	t.Helper()
	form := regexp.MustCompile(`(?s)<form[^>]*action="[^"]*` + regexp.QuoteMeta(action) + `"[^>]*>(.*?)</form>`).FindStringSubmatch(page)
	if form == nil {
		t.Fatalf("there is no form to %s on the page: %s", action, page)
	}
	values := url.Values{}
	for _, input := range regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`).FindAllStringSubmatch(form[1], -1) {
		values.Set(input[1], html.UnescapeString(input[2]))
	}
	return values
}

var (
	onward  = regexp.MustCompile(`http-equiv="refresh" content="0; url=([^"]+)"`)
	waiting = regexp.MustCompile(`data-state="testing"`)
	runLink = regexp.MustCompile(`"(/executions/exe_[0-9A-Za-z]+)">Ticket 1043<`)
)

// connect goes the whole way that a user goes: from the page's button, by the connect
// pages, to the vendor's consent and back. It returns the page that it ends on.
func (v *visitor) connect(account, decision string) string {
	v.t.Helper()
	status, page := v.post(v.h.desk+"/integrations/connect", hidden(v.t, v.page(), "/integrations/connect"))
	if status != http.StatusOK || !strings.Contains(page, "Harbor Desk") {
		v.t.Fatalf("the connect page: got %d %s", status, page)
	}
	session := v.at.String()
	_, page = v.post(session, hidden(v.t, page, v.at.Path))
	to := onward.FindStringSubmatch(page)
	if to == nil {
		v.t.Fatalf("the way to the vendor: got %s", page)
	}
	_, page = v.get(html.UnescapeString(to[1]))
	answer := hidden(v.t, page, "/oauth/authorize")
	answer.Set("account", account)
	answer.Set("decision", decision)
	_, page = v.post("http://"+v.at.Host+"/oauth/authorize", answer)
	for deadline := time.Now().Add(time.Minute); waiting.MatchString(page) && time.Now().Before(deadline); {
		time.Sleep(50 * time.Millisecond)
		_, page = v.get(session)
	}
	return page
}

// run starts the action with a ticket.
func (v *visitor) run(ticket string) {
	v.t.Helper()
	form := hidden(v.t, v.page(), "/integrations/run")
	form.Set("ticket", ticket)
	if status, page := v.post(v.h.desk+"/integrations/run", form); status != http.StatusOK {
		v.t.Fatalf("run: got %d %s", status, page)
	}
}

const ada, ben = "ada@lantern.example", "ben@nordwind.example"

// TestHarborDesk is one run of the example, for it compiles its connector. Each part leaves
// customers without connections.
func TestHarborDesk(t *testing.T) {
	t.Parallel()
	h := newHarbor(t)
	t.Run("from the first consent to the reconnect", h.reconnect)                                      //nolint:paralleltest // One after the other.
	t.Run("customers see nothing of each other", h.apart)                                              //nolint:paralleltest // One after the other.
	t.Run("forms of other sites do nothing", h.crossSite)                                              //nolint:paralleltest // One after the other.
	t.Run("in a browser", func(t *testing.T) { browsertest.Play(t, "host-app.mjs", h.desk, h.admin) }) //nolint:paralleltest // One after the other.
}

func (h *harbor) reconnect(t *testing.T) {
	h = h.in(t)
	v := h.visitor("lantern")
	if page := v.page(); !strings.Contains(page, "Not connected") || strings.Contains(page, "Run now") {
		t.Errorf("before: got %s", page)
	}
	if page := v.connect(ada, "refuse"); !strings.Contains(page, "You did not agree") {
		t.Errorf("a consent that is refused: got %s", page)
	}
	if page := v.connect(ada, "allow"); !strings.Contains(page, "is connected") {
		t.Fatalf("connected: got %s", page)
	}
	v.pageWith(ada)
	v.run("1041")
	v.pageWith("Ticket 1041")
	h.holds(v, "mia@holm.example")

	v.post(strings.TrimSuffix(h.admin, "/admin")+"/admin/revoke", url.Values{"account": {ada}})
	v.run("1042")
	v.pageWith("has to be connected again") // A notice.
	if page := v.pageWith("Waiting for a reconnect"); !strings.Contains(page, ">Broken<") {
		t.Errorf("what is broken is not said: %s", page)
	}
	if page := v.connect(ben, "allow"); !strings.Contains(page, "another account") {
		t.Errorf("connected again with another account: got %s", page)
	}
	if page := v.connect(ada, "allow"); !strings.Contains(page, "is connected") {
		t.Fatalf("connected again: got %s", page)
	}
	// Nobody asks for it: it goes on by itself.
	if page := v.pageWith("Ticket 1042<"); strings.Contains(page, ">Broken<") {
		t.Errorf("it is broken still: %s", page)
	}
	h.holds(v, "mia@holm.example", "teo@brandt.example")

	v.post(h.desk+"/integrations/disconnect", hidden(t, v.page(), "/integrations/disconnect"))
	v.pageWith("Not connected")
	h.forgets(v, ada)
}

// forgets waits until the vendor was told that an account is not used any more.
func (h *harbor) forgets(v *visitor, account string) {
	h.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		_, page := v.get(h.admin)
		_, section, _ := strings.Cut(page, "<h2>"+account)
		if section, _, _ = strings.Cut(section, "</section>"); strings.Contains(section, "No app has access") {
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("the vendor was not told: %s", page)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// holds waits until the address books have these people, each once, and nobody else.
func (h *harbor) holds(v *visitor, people ...string) {
	h.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		_, page := v.get(h.admin)
		all := regexp.MustCompile(`<td>([^<]+@[^<]+)</td>`).FindAllStringSubmatch(page, -1)
		var got []string
		for _, one := range all {
			got = append(got, one[1])
		}
		if strings.Join(got, " ") == strings.Join(people, " ") {
			return
		}
		if len(got) > len(people) || time.Now().After(deadline) {
			h.t.Fatalf("the address books have %q, want %q", got, people)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (h *harbor) apart(t *testing.T) {
	h = h.in(t)
	v, other := h.visitor("lantern"), h.visitor("nordwind")
	v.connect(ada, "allow")
	v.run("1043")
	page := v.pageWith("Ticket 1043<")
	disconnect, start := hidden(t, page, "/integrations/disconnect"), hidden(t, page, "/integrations/run")
	execution := runLink.FindStringSubmatch(page)[1]
	if _, page := v.get(h.desk + execution); !strings.Contains(page, "/api/contacts") {
		t.Errorf("one's own execution: got %s", page)
	}

	theirs := other.page()
	for _, secret := range []string{disconnect.Get("connection"), strings.TrimPrefix(execution, "/executions/"), ada, "Ines Duarte"} {
		if strings.Contains(theirs, secret) {
			t.Errorf("the other customer's page has %q: %s", secret, theirs)
		}
	}
	if status, page := other.get(h.desk + execution); status != http.StatusNotFound || strings.Contains(page, "contacts") {
		t.Errorf("another's execution: got %d %s", status, page)
	}
	mine := hidden(t, theirs, "/integrations/connect")
	mine.Set("connection", disconnect.Get("connection"))
	for name, try := range map[string]struct {
		path string
		form url.Values
	}{
		"connect another's connection again": {"/integrations/connect", mine},
		"connect for another's installation": {"/integrations/connect", url.Values{"installation": {start.Get("installation")}, "slot": {"tidebook"}}},
		"disconnect another's connection":    {"/integrations/disconnect", disconnect},
		"run with another's installation":    {"/integrations/run", url.Values{"installation": {start.Get("installation")}, "ticket": {"2007"}}},
		"run with another's ticket":          {"/integrations/run", url.Values{"installation": {mine.Get("installation")}, "ticket": {"1041"}}},
	} {
		if status, page := other.post(h.desk+try.path, try.form); status != http.StatusNotFound {
			t.Errorf("%s: got %d %s", name, status, page)
		}
	}
	v.pageWith(ada) // It is there still.
	v.post(h.desk+"/integrations/disconnect", disconnect)
}

func (h *harbor) crossSite(t *testing.T) {
	h = h.in(t)
	v := h.visitor("lantern")
	for _, path := range []string{"/integrations/connect", "/integrations/disconnect", "/integrations/run", "/sign-out", "/sign-in"} {
		for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://elsewhere.example"}} {
			if status, page := v.post(h.desk+path, hidden(t, v.page(), "/integrations/connect"), header...); status != http.StatusForbidden {
				t.Errorf("%s with %v: got %d %s", path, header, status, page)
			}
		}
	}
	stranger := h.visitor("")
	for _, path := range []string{"/integrations", "/executions/exe_none"} {
		if stranger.get(h.desk + path); stranger.at.Path != "/sign-in" {
			t.Errorf("a stranger who asks for %s is at %s", path, stranger.at)
		}
	}
	if stranger.post(h.desk+"/integrations/connect", nil); stranger.at.Path != "/sign-in" {
		t.Errorf("a stranger who connects is at %s", stranger.at)
	}
	v.post(h.desk+"/sign-out", nil)
	if v.get(h.desk + "/integrations"); v.at.Path != "/sign-in" {
		t.Errorf("who has signed out is at %s", v.at)
	}
}
