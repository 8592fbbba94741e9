package connector_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/connectortest"
)

const files = "https://files.example.com/"

// streaming runs f against files, of which each holds three MiB and a bit.
func streaming(t *testing.T, f func(ctx *connector.Context) error) (received []string, err error) {
	t.Helper()
	host := connectortest.New(t, connector.Connector{
		Name: "streaming", Version: "0.1.0", Test: f,
		Egress: []connector.Egress{{Host: "files.example.com", Methods: []string{"GET", "PUT", "POST"}}},
	}, connectortest.Options{HTTP: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/missing":
			w.WriteHeader(http.StatusNotFound)
		case r.Method == http.MethodGet:
			_, _ = w.Write(content())
		default:
			body, _ := io.ReadAll(r.Body)
			received = append(received, string(body))
			_, _ = io.WriteString(w, "taken")
		}
	})})
	return received, host.Test()
}

func content() []byte { return bytes.Repeat([]byte("0123456789abcdef"), 3<<16+1) }

func TestAStreamIsReadAndClosed(t *testing.T) {
	t.Parallel()
	_, err := streaming(t, func(ctx *connector.Context) error {
		s, err := ctx.HTTP.Stream(connector.Request{URL: files + "a"})
		if err != nil {
			return err
		}
		got, err := io.ReadAll(s.Body)
		if err != nil || s.Status != http.StatusOK || s.Err() != nil || !bytes.Equal(got, content()) {
			t.Errorf("got %d bytes, status %d and %v", len(got), s.Status, err)
		}
		if err := s.Body.Close(); err != nil {
			t.Errorf("closed at its end: %v", err)
		}
		if s, err = ctx.HTTP.Stream(connector.Request{URL: files + "b"}); err != nil {
			return err
		}
		if _, err := io.ReadFull(s.Body, make([]byte, 10)); err != nil {
			t.Error(err)
		}
		if err := errors.Join(s.Body.Close(), s.Body.Close()); err != nil {
			t.Errorf("closed twice: %v", err)
		}
		if _, err := s.Body.Read(make([]byte, 1)); err == nil {
			t.Error("it was read after it was closed")
		}
		if s, err = ctx.HTTP.Stream(connector.Request{URL: files + "missing"}); err != nil {
			return err
		}
		var e *connector.Error
		if err := s.Err(); !errors.As(err, &e) || e.Code != code.InvalidInput || !strings.Contains(e.Message, "404") {
			t.Errorf("got %v", err)
		}
		return s.Body.Close()
	})
	if err != nil {
		t.Error(err)
	}
}

func TestABodyIsSentFromAnyReader(t *testing.T) {
	t.Parallel()
	send := func(ctx *connector.Context, body io.Reader) error {
		r, err := ctx.HTTP.Send(connector.Request{Method: "PUT", URL: files + "to"}, body)
		if err == nil && string(r.Body) != "taken" {
			t.Errorf("got %q", r.Body)
		}
		return err
	}
	received, err := streaming(t, func(ctx *connector.Context) error {
		open := func() io.Reader {
			s, err := ctx.HTTP.Stream(connector.Request{URL: files + "a"})
			if err != nil {
				t.Fatal(err)
			}
			return s.Body
		}
		begun := open()
		if _, err := io.ReadFull(begun, make([]byte, 16)); err != nil {
			return err
		}
		return errors.Join(
			send(ctx, open()), send(ctx, begun), send(ctx, struct{ io.Reader }{open()}),
			send(ctx, bytes.NewReader(content())), send(ctx, strings.NewReader("")),
		)
	})
	if err != nil {
		t.Fatal(err)
	}
	whole := string(content())
	for i, want := range []string{whole, whole[16:], whole, whole, ""} {
		if received[i] != want {
			t.Errorf("body %d has %d bytes, want %d", i, len(received[i]), len(want))
		}
	}
}

func TestAnUploadIsWrittenAndFinished(t *testing.T) {
	t.Parallel()
	received, err := streaming(t, func(ctx *connector.Context) error {
		u, err := ctx.HTTP.Upload(connector.Request{Method: "POST", URL: files + "to"})
		if err != nil {
			return err
		}
		for _, word := range []string{"one ", "two ", "three"} {
			if _, err := io.WriteString(u, word); err != nil {
				return err
			}
		}
		if r, err := u.Finish(); err != nil || string(r.Body) != "taken" {
			t.Errorf("got %v", err)
		}
		if _, err := u.Finish(); err == nil {
			t.Error("it was finished twice")
		}
		if _, err := u.Write([]byte("more")); !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("written after its end: %v", err)
		}
		given, err := ctx.HTTP.Upload(connector.Request{Method: "PUT", URL: files + "to"})
		if err != nil {
			return err
		}
		return errors.Join(given.Close(), given.Close())
	})
	if err != nil || len(received) != 1 || received[0] != "one two three" {
		t.Errorf("got %q and %v", received, err)
	}
}

func TestAReaderThatFailsGivesTheUploadUp(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	received, err := streaming(t, func(ctx *connector.Context) error {
		body := io.MultiReader(strings.NewReader("half"), failing{broken})
		if _, err := ctx.HTTP.Send(connector.Request{Method: "PUT", URL: files + "to"}, body); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
		_, err := ctx.HTTP.Upload(connector.Request{URL: files + "to"})
		var e *connector.Error
		if !errors.As(err, &e) || e.Code != code.InvalidRequest {
			t.Errorf("a GET with a body: got %v", err)
		}
		return nil
	})
	if err != nil || len(received) > 0 {
		t.Errorf("got %q and %v", received, err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
