package connect

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/oauth"
)

// Browser is who opens pages: what its cookie holds, or nothing.
type Browser struct {
	Cookie string
	// Framed says that the page is shown in a frame.
	Framed bool
}

// Shown is a session with what its page needs.
type Shown struct {
	Session

	// Cookie is what the browser's is to hold.
	Cookie string
	// Token goes into each form: without it a form does nothing.
	Token string
	// GoTo is where the browser goes now, or empty.
	GoTo string
	// Window says that the page is in a window beside the one that the session began in.
	Window bool
}

// OpenLink lets a browser in that has a link: the first, or the one that was. The link
// itself it does not need any more.
func (s *Sessions) OpenLink(ctx context.Context, secret string, b Browser) (Shown, error) {
	v, err := s.linked(ctx, secret)
	if err != nil {
		return Shown{}, err
	}
	cookie := b.Cookie
	if !isSecret(cookie) {
		if cookie, err = s.secret(); err != nil {
			return Shown{}, err
		}
	}
	if v.isOf(cookie) {
		return s.shown(v, cookie), nil
	}
	if err := s.alive(v); err != nil {
		return Shown{}, err
	}
	if v.begun() {
		return Shown{}, fault.New(fault.Denied, CodeBrowser, "another browser has opened this link already, and something was begun there").
			WithHint("Go on there, or begin again where the link came from: the app makes another one.")
	}
	v.Browser, v.Form, v.Framed, v.State = hash(cookie), hash(formToken(cookie, v.row.ID)), b.Framed, v.due()
	if err := s.put(ctx, v, nil); err != nil {
		return Shown{}, err
	}
	return s.shown(v, cookie), nil
}

// Linked is a session by its link's secret, for a host app's page that has it.
func (s *Sessions) Linked(ctx context.Context, secret string) (Session, error) {
	v, err := s.linked(ctx, secret)
	if err != nil {
		return Session{}, err
	}
	return v.view(s.c.Now()), nil
}

func (s *Sessions) linked(ctx context.Context, secret string) (*visit, error) {
	if !isSecret(secret) {
		return nil, notFound("of this link")
	}
	row, err := s.c.Store.VisitByDigest(ctx, digest(secret))
	if err != nil {
		return nil, fmt.Errorf("find a connect session: %w", err)
	}
	return load(row)
}

// begun says that something was done in a session that another browser must not go on
// with.
func (v *visit) begun() bool {
	switch v.State {
	case Open, Choosing, Fields, Consent:
		return v.Entered || v.Chosen != "" || v.Went || v.Device != nil || v.Window != ""
	default:
		return true
	}
}

// isOf says whether a session is of the browser with this cookie.
func (v *visit) isOf(cookie string) bool {
	return isSecret(cookie) && (same(v.Browser, hash(cookie)) || same(v.Window, hash(cookie)))
}

func same(a, b string) bool { return a != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func (s *Sessions) shown(v *visit, cookie string) Shown {
	return Shown{
		Session: v.view(s.c.Now()), Cookie: cookie, Token: formToken(cookie, v.row.ID),
		Window: v.Window != "" && v.Window == hash(cookie) && v.Window != v.Browser,
	}
}

// formToken is what a page's forms show that they are the page's own. It is made from
// the cookie, and says nothing of it.
func formToken(cookie, id string) string {
	sum := sha256.Sum256([]byte("connect form\x00" + cookie + "\x00" + id))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Show is a session's page for the browser that it is of.
func (s *Sessions) Show(ctx context.Context, id string, b Browser) (Shown, error) {
	v, err := s.ofBrowser(ctx, id, b)
	if err != nil {
		return Shown{}, err
	}
	if err := s.look(ctx, v); err != nil {
		return Shown{}, err
	}
	return s.shown(v, b.Cookie), nil
}

func (s *Sessions) byID(ctx context.Context, id string) (*visit, error) {
	if !strings.HasPrefix(id, Prefix) {
		return nil, notFound(id)
	}
	row, err := s.c.Store.VisitByID(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("find connect session: %w", err)
	}
	return load(row)
}

func (s *Sessions) ofBrowser(ctx context.Context, id string, b Browser) (*visit, error) {
	v, err := s.byID(ctx, id)
	if err == nil && !v.isOf(b.Cookie) {
		err = notFound(id)
	}
	return v, err
}

// Do does a step that a page's form asks for, with the form's token. If the error is
// the user's to mend, Shown is of the page that it goes on.
func (s *Sessions) Do(ctx context.Context, id string, b Browser, token string, step Step) (Shown, error) {
	v, err := s.byID(ctx, id)
	if err != nil {
		return Shown{}, err
	}
	cookie := b.Cookie
	switch {
	case v.isOf(cookie) && same(token, formToken(cookie, id)):
	case v.Framed && step.Step == stepConsent && isSecret(token) && same(v.Form, hash(token)):
		// A window that a page in a frame has opened: there the cookie is another, or none.
		if cookie, err = s.window(v, b); err != nil {
			return Shown{}, err
		}
	default:
		return Shown{}, notFound(id)
	}
	if err := s.alive(v); err != nil {
		return s.shown(v, cookie), err
	}
	v.Went = v.Went || step.Step == stepConsent
	to, err := s.do(ctx, v, step, cookie)
	if err != nil {
		if again, e := load(v.row); e == nil { // As it is kept.
			v = again
		}
	}
	out := s.shown(v, cookie)
	out.GoTo = to
	return out, err
}

// window lets a window in, and returns what its cookie holds.
func (s *Sessions) window(v *visit, b Browser) (cookie string, err error) {
	if cookie = b.Cookie; !isSecret(cookie) {
		if cookie, err = s.secret(); err != nil {
			return "", err
		}
	}
	v.Window = hash(cookie)
	return cookie, nil
}

// Pass sends a browser to the provider that comes by an AuthorizationURL, which is good
// once.
func (s *Sessions) Pass(ctx context.Context, pass string, b Browser) (Shown, error) {
	id, secret, _ := strings.Cut(pass, ".")
	v, err := s.byID(ctx, id)
	if err != nil {
		return Shown{}, err
	}
	if !isSecret(secret) || !same(v.Way, hash(secret)) {
		return Shown{}, notFound(id)
	}
	if err := s.alive(v); err != nil {
		return Shown{}, err
	}
	cookie, err := s.window(v, b)
	if err != nil {
		return Shown{}, err
	}
	v.Way, v.Went = "", true
	if v.Browser == "" {
		v.Browser = v.Window
	}
	to, err := s.do(ctx, v, Step{Step: stepConsent}, cookie)
	out := s.shown(v, cookie)
	out.GoTo = to
	return out, err
}

// Callback takes what a provider sends a browser back with, and returns the session that
// it is of. An error is of a callback that is of none: what is wrong with one of a
// session's, that session says.
func (s *Sessions) Callback(ctx context.Context, b Browser, providerName string, values url.Values) (string, error) {
	starter := oauth.Starter{Session: hash(b.Cookie)}
	if state := values.Get("state"); isSecret(state) && isSecret(b.Cookie) {
		tenant, known, err := s.c.Store.FlowTenant(ctx, hex.EncodeToString(digest(state)))
		if err != nil {
			return "", fmt.Errorf("find a flow: %w", err)
		}
		if known {
			starter.Tenant = tenant
		}
	}
	arrived, err := s.c.Client.Accept(ctx, starter, s.public("/oauth/callback/"+providerName), values)
	if arrived.Flow.ID == "" {
		return "", err
	}
	v, e := s.find(ctx, arrived.Flow.Starter.Tenant, arrived.Flow.Note)
	if e != nil {
		return "", e
	}
	if s.alive(v) == nil && v.at(stepConsent, Consent) == nil { // Else its page says so.
		return v.row.ID, s.arrived(ctx, v, arrived, err)
	}
	return v.row.ID, nil
}
