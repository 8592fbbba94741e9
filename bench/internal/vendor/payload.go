package vendor

import "strings"

// PayloadBytes is how long a Payload is.
const PayloadBytes = 1 << 10

// Payload is JSON, as most of what connectors send: in a guest's request, and in the
// answer that it gets, each of its quotation marks is escaped.
func Payload() string {
	const item = `{"id":12345678,"name":"a thing of ours","state":"open"},`
	items := strings.Repeat(item, (PayloadBytes-2)/len(item))
	rest := PayloadBytes - len(items) - len(`["",]`)
	return "[" + items + `"` + strings.Repeat("x", rest+1) + `"]`
}

// Note is text that makes an object with little besides PayloadBytes long.
func Note() string {
	const words, besides = "a note on what there is to do, ", 24
	return strings.Repeat(words, PayloadBytes/len(words)+1)[:PayloadBytes-besides]
}
