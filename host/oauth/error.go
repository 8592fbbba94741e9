package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

// Codes of an Error that callers tell apart. Others are the servers', which RFC 6749
// and its successors list, and those below.
const (
	// CodeInvalidGrant: the refresh token or code is not good, or not any more.
	CodeInvalidGrant = "invalid_grant"
	// CodePending: the user has not decided yet (RFC 8628).
	CodePending = "authorization_pending"
	// CodeState: the callback belongs to no flow that this browser and tenant began.
	CodeState = "state_invalid"
)

// Codes of our own.
const (
	codeSlowDown     = "slow_down"
	codeExpired      = "expired_token"
	codeCallback     = "callback_invalid"
	codeIssuer       = "issuer_mismatch"
	codeAnswer       = "answer_invalid"
	codeUnreachable  = "unreachable"
	codeRegistration = "registration_invalid"
	codeMetadata     = "metadata_invalid"
	codeServer       = "server_error"
	codeBusy         = "temporarily_unavailable"
	codeLimited      = "rate_limited"
	codeRefused      = "refused"
)

// Error is why a server gave nothing, or why it was not asked. It has nothing of an
// answer's body but Code and Description.
type Error struct {
	// Code is the server's "error" (invalid_grant, access_denied, ...), or one of this
	// package for what no server says.
	Code string
	// Description is the server's own, or ours: of at most 300 characters, on one line,
	// without the secrets that were sent.
	Description string
	// Hint says what to do.
	Hint string
	// Status is that of the answer, or zero.
	Status int
	// Retryable says that the same request can succeed later, without a person.
	Retryable bool
	// RetryAfter is how long the server wants to be left alone, or zero: at most an
	// hour.
	RetryAfter time.Duration
	// Err is the cause, for operators.
	Err error
}

// Error implements error.
func (e *Error) Error() string {
	text := "oauth: " + e.Code
	if e.Description != "" {
		text += ": " + e.Description
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// As gives an Error as the fault that users see, so that fault.From knows it.
func (e *Error) As(target any) bool {
	to, ok := target.(**fault.Error)
	if ok {
		*to = e.Fault()
	}
	return ok
}

// Fault is e as users see it.
func (e *Error) Fault() *fault.Error {
	class := verdictOn(e.Code).class
	code := map[fault.Class]string{
		fault.Auth: fault.CodeUpstreamAuth, fault.RateLimited: "rate_limited", fault.Upstream: "upstream_unavailable",
		fault.Network: "network", fault.ContractChanged: "contract_changed", fault.InvalidInput: "oauth_" + e.Code, fault.Denied: "oauth_" + e.Code,
	}[class]
	message := "the authorization server answered " + strconv.Quote(e.Code)
	switch {
	case e.isOurs():
		message = e.Description
	case e.Description != "":
		message += ": " + e.Description
	}
	f := fault.New(class, code, "%s", message).WithHint("%s", e.Hint).Because(e)
	f.RetryAfter = e.RetryAfter
	f.Details, _ = json.Marshal(map[string]string{"oauth_error": e.Code}) // Of a text, it does not fail.
	return f
}

func (e *Error) isOurs() bool {
	switch e.Code {
	case CodeState, codeCallback, codeIssuer, codeAnswer, codeUnreachable, codeRegistration, codeMetadata:
		return true
	default:
		return false
	}
}

// verdict is what a code means.
type verdict struct {
	class     fault.Class
	retryable bool
	hint      string
}

// verdictOn knows the codes of RFC 6749 (4.1.2.1 and 5.2), RFC 6750, RFC 7009, RFC
// 8628, RFC 8707 and OpenID Connect Core 3.1.2.6, and ours.
func verdictOn(code string) verdict {
	const (
		operator  = "The registration with the provider is to be corrected by whoever made it: "
		reconnect = "Reconnect: the user has to agree once more."
	)
	switch code {
	case CodeInvalidGrant:
		return verdict{fault.Auth, false, "What was agreed to has ended: it expired, was revoked, or was used by somebody else. " + reconnect}
	case "invalid_token":
		return verdict{fault.Auth, false, reconnect}
	case "access_denied":
		return verdict{fault.Auth, false, "The user said no, or may not agree to this. Try again, and agree; an administrator of the account may have to."}
	case "login_required", "consent_required", "interaction_required", "account_selection_required":
		return verdict{fault.Auth, false, "The user has to log in and agree at the provider. " + reconnect}
	case codeExpired:
		return verdict{fault.Auth, false, "The code was not entered in time. Begin again."}
	case "invalid_client":
		return verdict{fault.Auth, false, operator + "compare its client id, its secret or key, and how the client shows them."}
	case "unauthorized_client", "unsupported_grant_type":
		return verdict{fault.InvalidInput, false, operator + "at the provider, allow the client this grant type."}
	case "unsupported_response_type":
		return verdict{fault.InvalidInput, false, operator + "at the provider, allow the client the authorization code flow."}
	case "invalid_scope":
		return verdict{fault.InvalidInput, false, operator + "it asks for a scope that the provider does not know or did not allow it."}
	case "invalid_request", "invalid_target", "unsupported_token_type", "redirect_uri_mismatch":
		return verdict{fault.InvalidInput, false, operator + "compare its redirect URI, letter by letter, and its parameters."}
	case CodePending, codeSlowDown:
		return verdict{fault.RateLimited, true, "Wait for the user to enter the code."}
	case codeLimited:
		return verdict{fault.RateLimited, true, "Try again later."}
	case codeServer, codeBusy:
		return verdict{fault.Upstream, true, "The provider has a fault of its own. Try again later."}
	case codeUnreachable:
		return verdict{fault.Network, true, "Try again later. If it stays so, compare the endpoint's address with the provider's documentation."}
	case CodeState:
		return verdict{fault.InvalidInput, false, "Begin again, in the same browser, and finish within the time that there is."}
	case codeCallback, codeIssuer:
		return verdict{fault.Denied, false, "Begin again, from the page that you came from. If it stays so, tell whoever runs it: the answer may not be the provider's."}
	case codeRegistration, codeMetadata:
		return verdict{fault.InvalidInput, false, operator + "the message says what is wrong."}
	case codeAnswer:
		return verdict{fault.ContractChanged, false, "Compare the token endpoint and the mapping of its answers with the provider's documentation."}
	default:
		return verdict{fault.Auth, false, "Look the error up in the provider's documentation."}
	}
}

// newError returns an Error with what its code means.
func newError(code, format string, args ...any) *Error {
	v := verdictOn(code)
	return &Error{Code: code, Description: fmt.Sprintf(format, args...), Hint: v.hint, Retryable: v.retryable}
}

// unreachable is a request that brought no answer. What net/http says of it has the
// URL, which may have secrets.
func unreachable(host string, err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	what := "did not answer"
	if errors.Is(err, context.DeadlineExceeded) {
		what = "did not answer in time"
	}
	e := newError(codeUnreachable, "%s %s", host, what)
	e.Err = err
	return e
}

// retryAfterMost bounds what a server asks for: one that says "in a year" is wrong.
const retryAfterMost = time.Hour

// retryAfter reads RFC 9110, section 10.2.3.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if text == "" {
		return 0
	}
	if s, err := strconv.ParseFloat(text, 64); err == nil {
		return time.Duration(min(max(s, 0), retryAfterMost.Seconds()) * float64(time.Second))
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(now), 0), retryAfterMost)
	}
	return 0
}

// descriptionMost is what fits a page; it is longer than any that is known.
const descriptionMost = 300

// clean makes a server's text fit to be shown, without what was sent to it in secret.
func clean(text string, secrets []string) string {
	for _, s := range secrets {
		if len(s) >= 4 { // A shorter one would take words apart, and protects nothing.
			text = strings.ReplaceAll(text, s, redacted)
			text = strings.ReplaceAll(text, url.QueryEscape(s), redacted)
		}
	}
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return ' ' // Control characters, and those that turn the direction of text.
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > descriptionMost {
		text = string(runes[:descriptionMost-3]) + "..."
	}
	return text
}

// cleanCode is a server's error code, or "refused" if it does not look like one.
func cleanCode(code string, secrets []string) string {
	if clean(code, secrets) != code {
		return codeRefused
	}
	ok := func(r rune) bool { return r > ' ' && r <= '~' && r != '"' && r != '\\' } // https://www.rfc-editor.org/rfc/rfc6749#section-5.2
	if code == "" || len(code) > 64 || strings.ContainsFunc(code, func(r rune) bool { return !ok(r) }) {
		return codeRefused
	}
	return strings.ToLower(code)
}
