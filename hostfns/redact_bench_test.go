package hostfns_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

// BenchmarkRedactor searches text without secrets, which most is: plain, and JSON in
// JSON, in which each quotation mark is an escape.
func BenchmarkRedactor(b *testing.B) {
	const token = "tok_0123456789abcdef0123456789"
	r := hostfns.NewRedactor(token)
	plain := strings.Repeat("the quick brown fox jumps over. ", 1<<18)
	quoted, err := json.Marshal(strings.Repeat(`{"id":123,"name":"the quick","ok":true},`, 1<<18))
	if err != nil {
		b.Fatal(err)
	}
	for name, text := range map[string]string{
		"1 KiB plain": plain[:1024], "8 MiB plain": plain[:8<<20], "1 KiB JSON": string(quoted)[:1024], "8 MiB JSON": string(quoted)[:8<<20],
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			doc := []byte(text)
			for b.Loop() {
				r.Bytes(doc)
			}
		})
	}
	b.Run("add", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			hostfns.NewRedactor(token)
		}
	})
}
