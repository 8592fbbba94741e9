package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/cofferdam-run/cofferdam/host/tenant"
)

// partBytes is about how large a part is before it is packed: what is kept in memory, and
// made again where an archive goes on.
const partBytes = 4 << 20

// Manifest is the last file of an archive.
type Manifest struct {
	Format string `json:"format"`
	Tenant string `json:"tenant"`
	Name   string `json:"name"`
	// At is the time that the archive is of.
	At time.Time `json:"at"`
	// Counts are the objects by kind, which is the folder that they are in.
	Counts map[string]int64 `json:"counts"`
	// Files and Bytes are those of all other files, and SHA256 is of what sha256sum prints
	// for them in their order.
	Files  int    `json:"files"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	// LeftOut says what is not in it, and why.
	LeftOut map[string]string `json:"left_out"`
}

// writer writes files, each of them a gzip member.
type writer struct {
	w   io.Writer
	at  cursor
	sum hash.Hash
}

// kind writes what is left of a kind.
func (o *writer) kind(ctx context.Context, r *reading, k kind, next string) error {
	var part bytes.Buffer
	lines := json.NewEncoder(&part)
	lines.SetEscapeHTML(false)
	flush := func(next cursor) error {
		if part.Len() == 0 {
			o.at = next
			return nil
		}
		err := o.file(fmt.Sprintf("%s/%06d.ndjson", k.name, o.at.Part+1), part.Bytes(), next)
		part.Reset()
		return err
	}
	err := k.each(r, ctx, o.at.Pos, func(v any, pos string) error {
		if err := lines.Encode(v); err != nil {
			return fmt.Errorf("encode one of the %s: %w", k.name, err)
		}
		o.at.Counts[k.name]++
		if part.Len() < partBytes {
			return nil
		}
		after := o.at
		after.Part, after.Pos = o.at.Part+1, pos
		return flush(after)
	})
	if err != nil {
		return fmt.Errorf("export %s: %w", k.name, err)
	}
	return flush(o.at.at(next, ""))
}

// file writes a file, after which the archive goes on at next.
func (o *writer) file(name string, content []byte, next cursor) error {
	digest := sha256.Sum256(content)
	fmt.Fprintf(o.sum, "%s  %s\n", hex.EncodeToString(digest[:]), name)
	next.Files, next.Bytes, next.Counts, next.Sum = o.at.Files+1, o.at.Bytes+int64(len(content)), o.at.Counts, stateOf(o.sum)
	if err := o.member(name, content, next.String(), false); err != nil {
		return err
	}
	o.at = next
	return nil
}

// manifest writes the last file, and the end of the archive.
func (o *writer) manifest(t tenant.Tenant) error {
	doc, err := json.MarshalIndent(Manifest{
		Format: Format, Tenant: t.ID, Name: t.Name, At: o.at.At, Counts: o.at.Counts,
		Files: o.at.Files, Bytes: o.at.Bytes, SHA256: hex.EncodeToString(o.sum.Sum(nil)), LeftOut: leftOut(),
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the manifest: %w", err)
	}
	return o.member(manifestName, append(doc, '\n'), "", true)
}

const manifestName = "manifest.json"

// field is the two letters that the cursor's subfield of a gzip header's extra field has,
// before its length (RFC 1952, 2.3.1.1).
const field = "CF"

// extra is the extra field of a cursor, which has a thousand bytes at most.
func extra(cursor string) []byte {
	if cursor == "" {
		return nil
	}
	return append(binary.LittleEndian.AppendUint16([]byte(field), uint16(len(cursor))), cursor...)
}

// cursorIn is the cursor in an extra field.
func cursorIn(extra []byte) string {
	if len(extra) < 4 || string(extra[:2]) != field || int(binary.LittleEndian.Uint16(extra[2:])) != len(extra)-4 {
		return ""
	}
	return string(extra[4:])
}

// member writes a gzip member with a file.
func (o *writer) member(name string, content []byte, cursor string, last bool) error {
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	zip.Extra = extra(cursor)
	files := tar.NewWriter(zip)
	err := files.WriteHeader(&tar.Header{
		Format: tar.FormatUSTAR, Typeflag: tar.TypeReg, Name: name, Size: int64(len(content)), Mode: 0o600, ModTime: o.at.At.Truncate(time.Second),
	})
	if err == nil {
		_, err = files.Write(content)
	}
	if err == nil && last {
		err = files.Close()
	} else if err == nil {
		err = files.Flush()
	}
	if err = errors.Join(err, zip.Close()); err != nil {
		return fmt.Errorf("pack %s: %w", name, err)
	}
	if _, err := o.w.Write(packed.Bytes()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
