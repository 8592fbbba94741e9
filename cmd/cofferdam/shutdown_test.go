package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
)

func openTestServer(t *testing.T) *server {
	t.Helper()
	s, err := loadSettings()
	if err != nil {
		t.Fatal(err)
	}
	s.DB = filepath.Join(t.TempDir(), "test.db")
	a := &app{settings: &s, terminal: terminal{out: io.Discard, err: io.Discard}}
	opened, err := a.openServer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := opened.close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return opened
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestRequestsInFlightOutliveTheSignal(t *testing.T) {
	t.Parallel()
	s := openTestServer(t)
	ctx, stop := context.WithCancel(t.Context())
	var both sync.WaitGroup
	both.Add(2)
	s.api = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		both.Done()
		both.Wait()
		stop()
		if r.URL.Path == "/tail" { // It ends when it is told to.
			<-r.Context().Done()
		}
		if r.Context().Err() != nil {
			w.WriteHeader(http.StatusGone)
		}
	})
	l := listen(t)
	ended := make(chan error, 1)
	go func() { ended <- s.serve(ctx, l) }()
	answers := make(chan int, 2)
	for _, path := range []string{"/tail", "/hooks"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+l.Addr().String()+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			a, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Error(err)
				answers <- 0
				return
			}
			_ = a.Body.Close()
			answers <- a.StatusCode
		}()
	}
	got := map[int]int{<-answers: 1}
	got[<-answers]++
	if got[http.StatusOK] != 1 || got[http.StatusGone] != 1 {
		t.Errorf("answers: %v, want one 200 and then, when its time is over, one 410", got)
	}
	if err := <-ended; err != nil {
		t.Errorf("serve: %v", err)
	}
}

func TestServerWithoutAPortEnds(t *testing.T) {
	t.Parallel()
	s := openTestServer(t)
	l := listen(t)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.serve(t.Context(), l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want %v", err, net.ErrClosed)
	}
}
