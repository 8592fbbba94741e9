package api

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
)

// onlyWork is the action of a route that has work done and changes nothing else: the
// event and the execution that it makes say who wanted what, thousands of times a second.
const onlyWork = "-"

// requestHeader has the id of a request that is in the audit log.
const requestHeader = "Cofferdam-Request"

// works are the routes of onlyWork.
func works() map[string]string {
	return map[string]string{
		"deliverWebhook": onlyWork, "tryWebhookHead": onlyWork, "tryWebhookOptions": onlyWork, "verifySample": onlyWork,
		"callAction": onlyWork, "callPoll": onlyWork, "testInstallation": onlyWork,
		// It only looks; there is too much to ask for a query.
		"previewSchedule": onlyWork,
		// What is done there for a user, the session has written: as its own act.
		"postConnectPage": onlyWork, "oauthCallbackForm": onlyWork,
	}
}

// acts is what the audit log calls what routes do, by the operations' ids. Every route
// that may change something has a line here; to look is no act, unless it is at everything.
func acts() map[string]string {
	all := works()
	maps.Copy(all, paceActs())
	maps.Copy(all, outletActs())
	maps.Copy(all, map[string]string{
		"publishPlugin":         "plugin.publish",
		"deprecatePlugin":       "plugin.deprecate",
		"sharePlugin":           "plugin.share",
		"deprecateVersion":      "version.deprecate",
		"promoteVersion":        "version.promote",
		"yankVersion":           "version.yank",
		"createPublisher":       "publisher.create",
		"addPublisherKey":       "publisher.key.add",
		"revokePublisherKey":    "publisher.key.revoke",
		"startShadowRun":        "shadow.start",
		"cancelShadowRun":       "shadow.cancel",
		"createTenant":          "tenant.create",
		"deleteTenant":          "tenant.delete",
		"exportTenant":          "tenant.export",
		"limitTenant":           "tenant.limit",
		"pauseTenant":           "tenant.pause",
		"restoreTenant":         "tenant.restore",
		"resumeTenant":          "tenant.resume",
		"createConnection":      "connection.create",
		"createConnectSession":  "connect_session.create",
		"stepConnectSession":    "connect_session.step",
		"cancelConnectSession":  "connect_session.cancel",
		"deleteConnection":      "connection.delete",
		"replaceCredential":     "connection.credential.replace",
		"setConnectionFields":   "connection.fields.set",
		"createApp":             "app.create",
		"deleteApp":             "app.delete",
		"updateApp":             "app.update",
		"createOperatorApp":     "app.create",
		"deleteOperatorApp":     "app.delete",
		"updateOperatorApp":     "app.update",
		"createEndpoint":        "endpoint.create",
		"showHandshake":         "endpoint.handshake.show",
		"signSample":            "endpoint.sample.sign",
		"deleteEndpoint":        "endpoint.delete",
		"disableEndpoint":       "endpoint.disable",
		"rotateEndpoint":        "endpoint.rotate",
		"cancelExecution":       "execution.cancel",
		"redriveExecution":      "execution.redrive",
		"resolveExecution":      "execution.resolve",
		"createInstallation":    "installation.create",
		"removeInstallation":    "installation.remove",
		"followChannel":         "installation.channel.follow",
		"configureInstallation": "installation.configure",
		"grantInstallation":     "installation.grant",
		"pauseInstallation":     "installation.pause",
		"resumeInstallation":    "installation.resume",
		"rollbackInstallation":  "installation.rollback",
		"upgradeInstallation":   "installation.upgrade",
		"startKeyRotation":      "key.rotate",
		"cancelKeyRotation":     "key.rotation.cancel",
		"pauseKeyRotation":      "key.rotation.pause",
		"resumeKeyRotation":     "key.rotation.resume",
		"createSchedule":        "schedule.create",
		"deleteSchedule":        "schedule.delete",
		"pauseSchedule":         "schedule.pause",
		"resumeSchedule":        "schedule.resume",
		"runSchedule":           "schedule.run",
		"updateSchedule":        "schedule.update",
		"startRedrive":          "redrive.start",
		"cancelRedrive":         "redrive.cancel",
		"pauseRedrive":          "redrive.pause",
		"resumeRedrive":         "redrive.resume",
		"startRedelivery":       "redelivery.start",
		"cancelRedelivery":      "redelivery.cancel",
		"pauseRedelivery":       "redelivery.pause",
		"resumeRedelivery":      "redelivery.resume",
		"rotateToken":           "token.rotate", "rotateOperatorToken": "token.rotate", "signToken": "token.sign", "revokeSignedTokens": "token.signed.revoke",
		"createToken":         "token.create",
		"revokeToken":         "token.revoke",
		"createOperatorToken": "token.create",
		"revokeOperatorToken": "token.revoke",
		"signAuditLog":        "audit.sign",
	})
	return all
}

// paceActs are those of how fast work goes, and whether at all, beside tenants' own.
func paceActs() map[string]string {
	return map[string]string{
		"limitInstallation":      "installation.limit",
		"pausePlugin":            "plugin.pause",
		"resumePlugin":           "plugin.resume",
		"setConnectionRate":      "connection.rate.set",
		"pauseConnection":        "connection.pause",
		"resumeConnection":       "connection.resume",
		"resetConnectionBreaker": "connection.breaker.reset",
	}
}

// outletActs are those of what leaves.
func outletActs() map[string]string {
	return map[string]string{
		// Something is sent that says nothing.
		"testDestination": onlyWork, "testOperatorDestination": onlyWork,

		"createDestination":         "destination.create",
		"createOperatorDestination": "destination.create",
		"updateDestination":         "destination.update",
		"updateOperatorDestination": "destination.update",
		"rotateDestination":         "destination.rotate",
		"rotateOperatorDestination": "destination.rotate",
		"deleteDestination":         "destination.delete",
		"deleteOperatorDestination": "destination.delete",
		"retryDelivery":             "delivery.retry",
		"retryOperatorDelivery":     "delivery.retry",
		"putWatch":                  "watch.put",
		"deleteWatch":               "watch.delete",
	}
}

// actionOf is the action of a route, or empty if it only looks. One that is not in the
// table is called by its id: then nothing is lost but a good name.
func actionOf(rt route) string {
	action := acts()[rt.ID]
	if action == "" && rt.Method != http.MethodGet {
		return rt.ID
	}
	return action
}

// acting makes a route's handler one whose changes are in the audit log as the
// caller's: those of a transaction in it, and what nobody has written there, a change
// that changed nothing or one that failed, after it.
func (s *server) acting(rt route, next http.Handler) http.Handler {
	action := actionOf(rt)
	if action == "" || action == onlyWork {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := callerOf(r.Context())
		act := &audit.Act{
			Who: c.who(), From: s.address(r), Tenant: c.tenant, Action: action, Object: objectOf(r), Request: ident.New("req_", s.o.Now()),
		}
		w.Header().Set(requestHeader, act.Request)
		ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		next.ServeHTTP(ww, r.WithContext(audit.Begin(r.Context(), act)))
		switch status := ww.Status(); {
		case status >= http.StatusBadRequest:
			s.h.Audit.Note(act.Ended(audit.Failed, "http_"+strconv.Itoa(status)))
		case act.Written() == 0:
			if err := s.h.Audit.Use(context.WithoutCancel(r.Context()), act.Ended(audit.Done, "")); err != nil {
				s.o.Logger.ErrorContext(r.Context(), "an act is not in the audit log", slog.String("action", action), slog.Any("error", err))
			}
		}
	})
}

// who is the caller's token, or what a person who has logged in is known by.
func (c caller) who() string {
	if c.token.ID == "" {
		return "anonymous"
	}
	return c.token.ID
}

// denied counts a request that was not let in, and seen a token that was.
func (s *server) denied(r *http.Request, rt route, c caller, err error) {
	p := problemOf(err)
	if p.Status >= http.StatusInternalServerError {
		return
	}
	action := actionOf(rt)
	if action == "" || action == onlyWork {
		action = "look"
	}
	who := c.who()
	if p.Class == string(fault.Auth) {
		action = "token.use"
	}
	s.h.Audit.Note(audit.Entry{Who: who, From: s.address(r), Tenant: c.token.Tenant, Action: action, Result: audit.Denied, Code: p.Code})
}

func (s *server) seen(r *http.Request, c caller) {
	s.h.Audit.Seen(c.who(), c.token.Tenant, s.address(r))
}

// objectOf is what the path names, by its last parameter.
func objectOf(r *http.Request) string {
	params := chi.RouteContext(r.Context()).URLParams
	for i, key := range slices.Backward(params.Keys) { //nolint:contextcheck // It is the request's.
		switch key {
		case "tenant":
			return tenantOf(r.Context())
		case "*":
		default:
			return params.Values[i]
		}
	}
	return ""
}
