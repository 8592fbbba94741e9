package hostfns_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

// pieces reads a text in pieces of random lengths.
type pieces struct {
	text []byte
	rand *rand.Rand
	most int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.text) == 0 {
		return 0, io.EOF
	}
	n := min(1+p.rand.IntN(p.most), len(p.text), len(b))
	copy(b, p.text[:n])
	p.text = p.text[n:]
	return n, nil
}

// disguises are ways in which servers echo a secret.
func disguises(secret string) []string {
	inJSON, _ := json.Marshal(`"` + secret + `"`)
	twice, _ := json.Marshal(string(inJSON))
	units := ""
	for _, c := range []byte(secret) {
		units += `\u00` + hex.EncodeToString([]byte{c})
	}
	return []string{
		secret, base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte("xy" + secret)),
		hex.EncodeToString([]byte(secret)), url.QueryEscape(secret), string(inJSON), string(twice), units, strings.ReplaceAll(units, `\`, `\\`),
		"%" + strings.Join(strings.Split(strings.ToUpper(hex.EncodeToString([]byte(secret))), ""), ""), secret + secret, secret[:len(secret)-1],
	}
}

func TestReaderFindsWhatBytesFindsHoweverItIsSplit(t *testing.T) {
	t.Parallel()
	const secret = `tok/"en+0123456789&abc`
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		var text bytes.Buffer
		for text.Len() < 60<<10 {
			forms := disguises(secret)
			text.WriteString(forms[r.IntN(len(forms))])
			filler := strings.Repeat([]string{"plain text ", `{"a":"\n\"b\""}`, "%20&amp;", "\r\n"}[r.IntN(4)], r.IntN(400))
			text.WriteString(filler)
		}
		redactor := hostfns.NewRedactor(secret)
		want := redactor.Bytes(text.Bytes())
		got, err := io.ReadAll(redactor.Reader(&pieces{text: bytes.Clone(text.Bytes()), rand: r, most: []int{1, 7, 1000, 100_000}[seed%4]}))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Fatalf("seed %d: (-whole +in pieces)\n%s", seed, diff)
		}
		if strings.Contains(string(got), secret) {
			t.Fatalf("seed %d: the secret is there", seed)
		}
	}
}

func TestReaderOfWhatOverlapsForEverTakesLittleMemory(t *testing.T) {
	t.Parallel()
	redactor := hostfns.NewRedactor("aaaaaaaa")
	reader := redactor.Reader(io.LimitReader(ones{}, 4<<20))
	got, err := io.ReadAll(reader)
	if err != nil || string(got) != "[redacted]" {
		t.Errorf("got %d bytes and %v, want all of it as one secret", len(got), err)
	}
}

type ones struct{}

func (ones) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

func TestReaderKnowsSecretsThatAreLearntMeanwhile(t *testing.T) {
	t.Parallel()
	redactor := hostfns.NewRedactor()
	near, far := io.Pipe()
	reader := redactor.Reader(near)
	go func() {
		_, _ = far.Write([]byte("first "))
		_, _ = far.Write([]byte("then s3cret-0123 "))
		_ = far.Close()
	}()
	head := make([]byte, 6)
	if _, err := io.ReadFull(reader, head); err != nil {
		t.Fatal(err)
	}
	redactor.Add("s3cret-0123")
	rest, err := io.ReadAll(reader)
	if got, want := string(head)+string(rest), "first then [redacted] "; got != want || err != nil {
		t.Errorf("got %q and %v, want %q", got, err, want)
	}
}

func TestReaderPassesOnWhatEndsItAndWhatCameBefore(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, known := range []*hostfns.Redactor{nil, hostfns.NewRedactor(), hostfns.NewRedactor("secret")} {
		from := io.MultiReader(strings.NewReader("a secre"), iotest.ErrReader(broken))
		got, err := io.ReadAll(known.Reader(from))
		if string(got) != "a secre" || !errors.Is(err, broken) {
			t.Errorf("got %q and %v", got, err)
		}
	}
}

// BenchmarkReader is what it costs to search a body that holds no secret.
func BenchmarkReader(b *testing.B) {
	random := make([]byte, 8<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(random)
	for name, text := range map[string][]byte{"zeros": make([]byte, 8<<20), "random": random} {
		b.Run(name, func(b *testing.B) {
			r := hostfns.NewRedactor("tok_0123456789abcdef0123456789")
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				_, _ = io.Copy(io.Discard, r.Reader(bytes.NewReader(text)))
			}
		})
	}
}
