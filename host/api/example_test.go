package api_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/vault/keyfile"
)

// A host app mounts the API in a mux of its own, here below a prefix.
func ExampleHandler() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "cofferdam")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	db, err := sqlite.Open(ctx, filepath.Join(dir, "cofferdam.db"), sqlite.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	if _, _, err := db.Migrate(ctx); err != nil {
		fmt.Println(err)
		return
	}
	key, err := keyfile.Ephemeral()
	if err != nil {
		fmt.Println(err)
		return
	}
	h, err := host.New(ctx, host.Config{Store: db, Keeper: key})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer h.Close(ctx)

	mux := http.NewServeMux()
	mux.Handle("/integrations/", http.StripPrefix("/integrations", api.Handler(h, api.Options{Version: "1.2.0"})))

	rec := httptest.NewRecorder()
	mux.ServeHTTP(rec, httptest.NewRequestWithContext(ctx, http.MethodGet, "/integrations/readyz", nil))
	fmt.Print(rec.Code, " ", rec.Body)
	// Output: 200 {"status":"ok","version":"1.2.0"}
}
