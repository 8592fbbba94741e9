package signature

import (
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Times as RFC 3339 writes them. time.Parse alone also takes a comma for the full stop and
// hours of one digit.
var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$`)

// parseTime returns the seconds since 1970 of a timestamp in the one form that its unit has.
func parseTime(unit, s string) (int64, error) {
	switch unit {
	case "s":
		n, ok := digits(s, 12)
		if !ok {
			return 0, errors.New("a time in seconds since 1970, in digits alone")
		}
		return n, nil
	case "ms":
		n, ok := digits(s, 15)
		if !ok {
			return 0, errors.New("a time in milliseconds since 1970, in digits alone")
		}
		return n / 1000, nil
	case "imf":
		t, err := time.Parse(http.TimeFormat, s)
		if err != nil || t.Format(http.TimeFormat) != s {
			return 0, errors.New("a time such as Sun, 06 Nov 1994 08:49:37 GMT")
		}
		return t.Unix(), nil
	default:
		t, err := time.Parse(time.RFC3339Nano, s)
		if err != nil || !rfc3339.MatchString(s) {
			return 0, errors.New("a time such as 1994-11-06T08:49:37Z")
		}
		return t.Unix(), nil
	}
}

// digits reads digits without a sign or leading zeros: 12 are 30,000 years of seconds.
func digits(s string, limit int) (int64, bool) {
	if s == "" || len(s) > limit || s[0] == '0' && s != "0" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// formatTime writes a time as a vendor would.
func formatTime(unit string, t time.Time) string {
	switch unit {
	case "s":
		return strconv.FormatInt(t.Unix(), 10)
	case "ms":
		return strconv.FormatInt(t.UnixMilli(), 10)
	case "imf":
		return t.UTC().Format(http.TimeFormat)
	case "rfc3339":
		return t.UTC().Format(time.RFC3339)
	default:
		return ""
	}
}
