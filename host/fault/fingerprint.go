package fault

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
)

// What differs between two occurrences of one fault: quoted text, and words with
// a digit in them, which are numbers, ids, dates, addresses and digests. An
// apostrophe inside a word opens no quote.
var (
	quoted   = regexp.MustCompile("\"(?:[^\"\\\\]|\\\\.)*\"|`[^`]*`|\\B'[^']*'\\B")
	numbered = regexp.MustCompile(`[\pL_.:/@%+-]*\pN[\pL\pN_.:/@%+-]*`)
)

// Fingerprint returns a short stable hash by which occurrences of one fault are
// grouped: of the class, the code, and the message without what varies. It is
// empty for a nil e.
func Fingerprint(e *Error) string {
	if e == nil {
		return ""
	}
	message := quoted.ReplaceAllLiteralString(e.Message, `""`)
	message = numbered.ReplaceAllLiteralString(message, "#")
	message = strings.Join(strings.Fields(message), " ")
	// Classes and codes have no NUL, so that the parts cannot run into each other.
	sum := sha256.Sum256([]byte(string(e.Class) + "\x00" + e.Code + "\x00" + message))
	return hex.EncodeToString(sum[:8])
}
