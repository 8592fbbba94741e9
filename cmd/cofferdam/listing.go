package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// everything follows a listing's cursors to its end. The path may have a query.
func everything[T any](ctx context.Context, c *client, path string) ([]T, error) {
	all := []T{}
	for cursor := ""; ; {
		at := path
		if cursor != "" {
			sep := "?"
			if strings.Contains(path, "?") {
				sep = "&"
			}
			at += sep + "cursor=" + url.QueryEscape(cursor)
		}
		var p page[T]
		if err := c.call(ctx, http.MethodGet, at, nil, &p); err != nil {
			return nil, err
		}
		all = append(all, p.Items...)
		if p.Next == "" {
			return all, nil
		}
		cursor = p.Next
	}
}

// byteCount writes a size for people.
func byteCount(n int64) string {
	const kib, mib = 1 << 10, 1 << 20
	switch {
	case n >= mib:
		return fmt.Sprintf("%.1f MiB", float64(n)/mib)
	case n >= kib:
		return fmt.Sprintf("%.1f KiB", float64(n)/kib)
	default:
		return fmt.Sprintf("%d B", n)
	}
}
