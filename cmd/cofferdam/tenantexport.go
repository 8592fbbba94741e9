package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/archive"
	"github.com/cofferdam-run/cofferdam/host/fault"
)

func (a *app) tenantExport() *cobra.Command {
	var resume bool
	var at string
	c := &cobra.Command{
		Use:   "export NAME FILE",
		Short: "Write everything of a tenant to a tar.gz of lines of JSON, without credentials",
		Long: "Write everything of a tenant to a tar.gz: its events with their bodies, executions with their traces, state,\n" +
			"configuration, usage and part of the audit log, as lines of JSON that people and programs can read, with a\n" +
			"README.md and, last, a manifest of counts and a digest, against which the file is checked.\n\n" +
			"No credentials, secrets or keys are in it. What is in it is the tenant's data all the same: keep the file as\n" +
			"you would keep that. It is written as FILE.part, and becomes FILE when it is whole. If it breaks off,\n" +
			"--resume goes on after what is there.",
		Example: "  cofferdam tenant export acme acme.tar.gz\n  cofferdam tenant export acme acme.tar.gz --resume\n  cofferdam tenant export acme again.tar.gz --at 2026-11-20T12:00:00Z   # the same bytes for the same data",
		Args:    exactly("NAME", "FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			e := &exporting{client: a.client(), path: "/v1/tenants/" + escape(args[0]) + "/export", file: args[1], at: at}
			m, err := e.run(c.Context(), resume)
			if err != nil {
				return err
			}
			return a.show(m, func(w io.Writer) { printManifest(w, args[1], m) })
		},
	}
	c.Flags().BoolVar(&resume, "resume", false, "go on with an export that broke off")
	c.Flags().StringVar(&at, "at", "", "the time that it is of, such as 2026-11-20T12:00:00Z; now by default")
	return c
}

// exporting is an export to a file.
type exporting struct {
	client         *client
	path, file, at string
}

// part is the file while it is not whole.
func (e *exporting) part() string { return e.file + ".part" }

// run writes what is missing, checks it all, and gives the file its name.
func (e *exporting) run(ctx context.Context, resume bool) (archive.Manifest, error) {
	if _, err := os.Stat(e.file); err == nil {
		return archive.Manifest{}, usagef("%s is there already: choose another name, or delete it", e.file)
	}
	f, from, err := e.open(resume)
	if err != nil {
		return archive.Manifest{}, err
	}
	err = e.fetch(ctx, f, from)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return archive.Manifest{}, e.broken(err)
	}
	m, err := verifyArchive(e.part())
	if err != nil {
		return m, fmt.Errorf("check what was written: %w\n  hint: delete %s and begin anew", err, e.part())
	}
	if err := os.Rename(e.part(), e.file); err != nil {
		return m, fmt.Errorf("write the export: %w", err)
	}
	return m, syncFolder(filepath.Dir(e.file))
}

// broken says that what is there can be gone on with, unless nothing was written.
func (e *exporting) broken(err error) error {
	if s, stat := os.Stat(e.part()); stat == nil && s.Size() == 0 {
		return errors.Join(err, os.Remove(e.part()))
	}
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f
	}
	return fmt.Errorf("write the export: %w\n  hint: the same command with --resume goes on after what is in %s", err, e.part())
}

// open opens the file, and says what of it is whole.
func (e *exporting) open(resume bool) (*os.File, archive.Part, error) {
	flags := os.O_CREATE | os.O_RDWR
	if !resume {
		flags |= os.O_TRUNC
	}
	f, err := os.OpenFile(e.part(), flags, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, archive.Part{}, usagef("there is no folder %s", filepath.Dir(e.part()))
	}
	if err != nil {
		return nil, archive.Part{}, fmt.Errorf("write the export: %w", err)
	}
	whole := archive.Whole(f)
	if err := f.Truncate(whole.Bytes); err != nil {
		return nil, whole, errors.Join(fmt.Errorf("go on with the export: %w", err), f.Close())
	}
	if _, err := f.Seek(whole.Bytes, io.SeekStart); err != nil {
		return nil, whole, errors.Join(fmt.Errorf("go on with the export: %w", err), f.Close())
	}
	return f, whole, nil
}

// fetch writes what comes after a part.
func (e *exporting) fetch(ctx context.Context, f *os.File, from archive.Part) error {
	if from.Bytes > 0 && from.Cursor == "" {
		return nil // It only has not got its name yet.
	}
	q := url.Values{}
	if from.Cursor != "" {
		q.Set("cursor", from.Cursor)
	}
	if e.at != "" {
		q.Set("at", e.at)
	}
	resp, err := e.client.open(ctx, http.MethodGet, e.path+"?"+q.Encode(), "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(f, resp.Body); err != nil {
		return err
	}
	return f.Sync()
}

func verifyArchive(path string) (archive.Manifest, error) {
	f, err := os.Open(path)
	if err != nil {
		return archive.Manifest{}, err
	}
	defer f.Close()
	return archive.Verify(f)
}

// syncFolder makes a new name in a folder durable.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("write the export: %w", err)
	}
	_ = d.Sync() // Not every file system can.
	return d.Close()
}

func printManifest(w io.Writer, file string, m archive.Manifest) {
	fmt.Fprintf(w, "wrote %s: everything of %s (%s) at %s, without credentials\n", file, m.Name, m.Tenant, m.At.Format(time.RFC3339Nano))
	var rows [][]string
	for _, kind := range slices.Sorted(maps.Keys(m.Counts)) {
		rows = append(rows, []string{kind, strconv.FormatInt(m.Counts[kind], 10)})
	}
	table(w, []string{"KIND", "COUNT"}, rows)
	fmt.Fprintf(w, "%d files, %s unpacked; digest %s\n", m.Files, byteCount(m.Bytes), m.SHA256)
}
