// Package connector is how a Cofferdam connector is written in Go.
//
// A connector is a value that says what it is and does, and one line that makes
// it the program's:
//
//	var _ = connector.Define(hello())
//
//	func main() {} // Never runs: the host calls what Define defined.
//
//	func hello() connector.Connector {
//		return connector.Connector{
//			Name:        "hello",
//			Version:     "0.1.0",
//			Config:      Config{},
//			Connections: []connector.Connection{{Name: "github", Type: connector.Bearer, Hosts: []string{"api.github.com"}}},
//			Egress:      []connector.Egress{{Host: "api.github.com", Methods: []string{"GET", "POST"}}},
//			Actions:     []connector.Action{{Name: "label", Title: "Label an issue", Run: connector.Func(label)}},
//		}
//	}
//
//	func label(ctx *connector.Context, in LabelInput) (LabelOutput, error) { ... }
//
// The JSON Schemas of configuration, inputs and outputs are derived from the Go
// types; the tags title, doc, default, enum, format and example of a field say more:
//
//	type Config struct {
//		Label string `json:"label" doc:"The label to add." default:"triage"`
//	}
//
// A field is required unless it is a pointer, is omitempty, or has a default.
//
// Build it as a reactor, and unit-test it with plain go test and connectortest:
//
//	GOOS=wasip1 GOARCH=wasm go build -trimpath -buildmode=c-shared -ldflags='-s -w' -o hello.wasm .
//
// "cofferdam plugin inspect" shows what the module asks for and costs. For the fuel
// of a call by function, leave out -s and run "cofferdam plugin profile".
//
// # What a connector can rely on
//
// Everything goes through [Context]. Each call gets a sandbox of its own, so
// package variables do not outlive it: what must last belongs in Context.State,
// which is committed when the call succeeds and dropped when it fails. There are
// no files, sockets, threads or environment, and credentials never enter the
// connector: it names a connection, and the host adds the credential, or signs with it
// what Context.Sign is given. It can say under Connection.Rate what the vendor allows, and
// the host keeps to it.
//
// Where no scheme says how a vendor signs its deliveries, Webhook.Verify decides, with the
// endpoint's secret behind Context.Sign and nothing else.
//
// A body that is longer than what fits is streamed: [HTTP.Stream] gives an io.ReadCloser,
// [HTTP.Send] takes an io.Reader, and [HTTP.Upload] is an io.Writer. The body of a Stream
// that is sent goes from server to server.
//
// # What is done once
//
// A call may be run again: after a crash, a wait, an error that may pass. It is then
// told the answers that it got before, so that a POST that was answered is not sent
// again, and goes on where they end. What was sent and not answered is sent again if
// that is safe: name the host under Connector.Idempotency if it takes keys, or write a
// Connector.Confirm that looks whether it has happened. See "What is done twice, and
// what never is" in sdk/ABI.md.
//
// # Errors
//
// What Run returns decides what follows. An [Error] carries a code (package code
// has them); any other error, and a panic, is the connector's own bug and is not
// tried again. Errors of the host are an [*Error] too.
package connector
