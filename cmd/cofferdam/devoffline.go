package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"

	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/internal/golden"
	"github.com/cofferdam-run/cofferdam/hostfns"
)

// offlineWorld answers requests from files, in place of the network: each holds an
// exchange as golden tests have them, or a list of such. Of those that fit a request
// the first one answers, however often it is asked. Files are read for each request,
// so that they can be written meanwhile.
type offlineWorld struct{ folder string }

// RoundTrip implements http.RoundTripper.
func (o *offlineWorld) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	all, err := o.exchanges()
	if err != nil {
		return nil, err
	}
	for _, x := range all {
		if x.Request.Fits(r, body) {
			return x.Response.Answer(r)
		}
	}
	return nil, hostfns.Errorf(hostfns.CodeAddressRefused, "offline, and no file in fixtures/http answers %s %s", r.Method, r.URL)
}

func (o *offlineWorld) exchanges() ([]golden.Exchange, error) {
	entries, err := os.ReadDir(o.folder)
	if err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("read fixtures/http: %w", err)
	}
	var all []golden.Exchange
	for _, e := range entries {
		if e.IsDir() || filepath.Ext(e.Name()) != ".json" {
			continue
		}
		content, err := os.ReadFile(filepath.Join(o.folder, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("read fixtures/http: %w", err)
		}
		some := []golden.Exchange{}
		if bytes.HasPrefix(bytes.TrimSpace(content), []byte("[")) {
			err = json.Unmarshal(content, &some)
		} else {
			var one golden.Exchange
			err = json.Unmarshal(content, &one)
			some = append(some, one)
		}
		if err != nil {
			return nil, fmt.Errorf("read fixtures/http/%s: %w", e.Name(), err)
		}
		all = append(all, slices.DeleteFunc(some, func(x golden.Exchange) bool { return x.Request == nil })...)
	}
	return all, nil
}
