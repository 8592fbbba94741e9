package archive

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
)

// maxManifest bounds what is read of the last file.
const maxManifest = 4 << 20

// Part is how much of an archive there is.
type Part struct {
	// Bytes are those that are whole: what comes after is to be cut off.
	Bytes int64
	// Cursor is for what is missing, and empty if nothing is, or nothing is there.
	Cursor string
}

// Whole says how much of an archive that was cut off is whole.
func Whole(r io.Reader) Part {
	counted := &counting{r: bufio.NewReaderSize(r, 1<<16)}
	var p Part
	var zip gzip.Reader
	for {
		if err := zip.Reset(counted); err != nil {
			return p
		}
		zip.Multistream(false)
		cursor := cursorIn(zip.Extra)
		if _, err := io.Copy(io.Discard, &zip); err != nil {
			return p
		}
		p = Part{Bytes: counted.n, Cursor: cursor}
	}
}

// counting counts what is read. It is an io.ByteReader, of which no more is read than
// there is in a member.
type counting struct {
	r *bufio.Reader
	n int64
}

// Read implements io.Reader.
func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// ReadByte implements io.ByteReader.
func (c *counting) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

// ErrDamaged is an archive that is not what its manifest says.
var ErrDamaged = errors.New("the archive is not what its manifest says")

// Verify reads an archive to its end and returns its manifest, if all is there that it
// says and nothing else: ErrDamaged, or what kept it from being read.
func Verify(r io.Reader) (Manifest, error) {
	zip, err := gzip.NewReader(r)
	if err != nil {
		return Manifest{}, fmt.Errorf("read the archive: %w", err)
	}
	files, sum := tar.NewReader(zip), sha256.New()
	got := Manifest{Counts: map[string]int64{}}
	for {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return Manifest{}, fmt.Errorf("%w: it has none", ErrDamaged)
		}
		if err != nil {
			return Manifest{}, fmt.Errorf("read the archive: %w", err)
		}
		if h.Name == manifestName {
			break
		}
		file := &lines{sum: sha256.New()}
		n, err := io.Copy(file, files) //nolint:gosec // It is hashed, and nothing of it is kept.
		if err != nil {
			return Manifest{}, fmt.Errorf("read %s: %w", h.Name, err)
		}
		fmt.Fprintf(sum, "%s  %s\n", hex.EncodeToString(file.sum.Sum(nil)), h.Name)
		got.Files++
		got.Bytes += n
		if strings.HasSuffix(h.Name, ".ndjson") {
			got.Counts[path.Dir(h.Name)] += file.n
		}
	}
	doc, err := io.ReadAll(io.LimitReader(files, maxManifest))
	if err != nil {
		return Manifest{}, fmt.Errorf("read the manifest: %w", err)
	}
	var m Manifest
	if err := json.Unmarshal(doc, &m); err != nil {
		return Manifest{}, fmt.Errorf("%w: it is no JSON", ErrDamaged)
	}
	if _, err := files.Next(); !errors.Is(err, io.EOF) {
		return m, fmt.Errorf("%w: more follows it", ErrDamaged)
	}
	return m, m.compare(got, hex.EncodeToString(sum.Sum(nil)))
}

// compare says how an archive differs from its manifest.
func (m Manifest) compare(got Manifest, sum string) error {
	var wrong []string
	if m.Format != Format {
		wrong = append(wrong, fmt.Sprintf("its format is %q, and this is %s", m.Format, Format))
	}
	if m.Files != got.Files || m.Bytes != got.Bytes {
		wrong = append(wrong, fmt.Sprintf("it has %d files of %d bytes, and these are %d of %d", m.Files, m.Bytes, got.Files, got.Bytes))
	}
	for _, kind := range slices.Sorted(maps.Keys(got.Counts)) {
		if m.Counts[kind] != got.Counts[kind] {
			wrong = append(wrong, fmt.Sprintf("it has %d %s, and these are %d", m.Counts[kind], kind, got.Counts[kind]))
		}
	}
	if m.SHA256 != sum {
		wrong = append(wrong, "its digest is another")
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%w: %s", ErrDamaged, strings.Join(wrong, "; "))
	}
	return nil
}

// lines hashes what is written, and counts its lines.
type lines struct {
	sum interface {
		io.Writer
		Sum(b []byte) []byte
	}
	n int64
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	l.n += int64(bytes.Count(p, []byte{'\n'}))
	return l.sum.Write(p)
}
