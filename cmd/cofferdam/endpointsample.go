package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/webhook/descriptor"
	"github.com/cofferdam-run/cofferdam/host/webhook/signature"
)

func (a *app) endpointHandshake() *cobra.Command {
	return a.tenantFlag(&cobra.Command{
		Use:     "handshake ENDPOINT",
		Short:   "Show the secret that the vendor's handshake brought; Notion asks for it",
		Example: "  cofferdam endpoint handshake end_01J9ZK7V5Q8W3E6R1T0Y2U4I8O --tenant acme",
		Args:    exactly("ENDPOINT"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.changeEndpoint(c, a.inTenant("/endpoints/%s/handshake", escape(args[0])), struct{}{})
		},
	})
}

func (a *app) endpointSchemes() *cobra.Command {
	return &cobra.Command{
		Use:   "schemes [SCHEME]",
		Short: "Show how the vendors sign that are known, and what an endpoint of each must be told",
		Long: "Show how the vendors sign that are known, and what an endpoint of each must be told. With the\n" +
			"name of one and -o json it is the descriptor, which one of your own can begin from. It needs no server.",
		Example: "  cofferdam endpoint schemes\n  cofferdam endpoint schemes stripe -o json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				d, err := descriptor.Find(args[0])
				if err != nil {
					return err
				}
				return a.show(d, func(w io.Writer) { printScheme(w, d) })
			}
			all, err := descriptor.Load()
			if err != nil {
				return err
			}
			return a.show(all, func(w io.Writer) {
				var rows [][]string
				for _, d := range all {
					rows = append(rows, []string{d.Name, d.Title, d.Signatures[0].Alg, d.Secret, strings.Join(slices.Sorted(maps.Keys(d.Parameters)), ",")})
				}
				table(w, []string{"SCHEME", "TITLE", "ALGORITHM", "SECRET", "PARAMETERS"}, rows)
			})
		},
	}
}

func printScheme(w io.Writer, d descriptor.Descriptor) {
	fmt.Fprintf(w, "%s  %s\n", d.Name, d.Title)
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, s := range d.Signatures {
		fmt.Fprintf(tw, "  %s\t%s\t%s\n", s.Alg, s.Signed, strings.Join(d.Parts[0].Signature, ", "))
	}
	if d.Timestamp.ToleranceSeconds > 0 {
		fmt.Fprintf(tw, "  tolerance\t%d s\n", d.Timestamp.ToleranceSeconds)
	}
	fmt.Fprintf(tw, "  secret\t%s\n", d.Secret)
	for _, name := range slices.Sorted(maps.Keys(d.Parameters)) {
		fmt.Fprintf(tw, "  parameter %s\t%s %s\n", name, d.Parameters[name].Title, d.Parameters[name].Help)
	}
	tw.Flush()
	var handshakes []string
	for _, h := range d.Handshakes {
		handshakes = append(handshakes, h.Method+" "+h.Name)
	}
	printLines(w, "handshakes", handshakes)
	if d.Weak != "" {
		printLines(w, "weak", []string{d.Weak})
	}
	printLines(w, "notes", d.Notes)
	printLines(w, "from", d.Docs)
}

// pasted is a sample as the API takes it.
type pasted struct {
	Endpoint   string            `json:"endpoint,omitempty"`
	Scheme     string            `json:"scheme,omitempty"`
	Descriptor any               `json:"descriptor,omitempty"`
	Secret     string            `json:"secret,omitempty"`
	Parameters map[string]string `json:"parameters,omitempty"`
	At         *time.Time        `json:"at,omitempty"`
	Request    pastedRequest     `json:"request"`
}

type pastedRequest struct {
	Method  string      `json:"method,omitempty"`
	URL     string      `json:"url,omitempty"`
	Query   string      `json:"query,omitempty"`
	Headers http.Header `json:"headers,omitempty"`
	Body    []byte      `json:"body,omitempty"` // Base64, as encoding/json writes bytes.
	// Encoding says so.
	Encoding string `json:"encoding,omitempty"`
}

func (a *app) endpointVerifySample() *cobra.Command {
	var p pasted
	var at, file string
	c := a.tenantFlag(&cobra.Command{
		Use:   "verify-sample FILE",
		Short: "Try a delivery that you have: which step passes, which fails, and what text was signed",
		Long: "Try a delivery that you have: which step passes, which fails, and what text was signed. FILE, or -\n" +
			"for standard input, is the delivery as HTTP has it: headers, an empty line, and the raw body. It is\n" +
			"judged as of --endpoint, or by --scheme or --descriptor and --secret. Nothing is stored.",
		Example: "  cofferdam endpoint verify-sample delivery.http --endpoint end_01J9ZK7V5Q8W3E6R1T0Y2U4I8O --tenant acme",
		Args:    exactly("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.paste(&p, args[0], file, at); err != nil {
				return err
			}
			var report signature.Report
			if err := a.client().call(c.Context(), http.MethodPost, a.inTenant("/webhooks/verify-sample"), p, &report); err != nil {
				return err
			}
			if err := a.show(report, func(w io.Writer) { printJudged(w, report) }); err != nil {
				return err
			}
			if !report.Verified {
				return errors.New("the delivery would be refused")
			}
			return nil
		},
	})
	flags := c.Flags()
	flags.StringVar(&p.Endpoint, "endpoint", "", "the endpoint whose delivery it is")
	flags.StringVar(&p.Scheme, "scheme", "", "the scheme to judge it by")
	flags.StringVar(&file, "descriptor", "", "a file with the descriptor to judge it by")
	flags.StringVar(&p.Secret, "secret", "", "the signing secret; the endpoint's if it is not given")
	flags.StringToStringVar(&p.Parameters, "parameter", nil, "what the scheme must be told, name=value")
	flags.StringVar(&at, "at", "", "when it arrived, such as 2026-01-02T03:04:05Z; now if it is not given")
	flags.StringVar(&p.Request.URL, "request-url", "", "the URL that the vendor was given, with its query")
	flags.StringVar(&p.Request.Method, "method", "", "the method; POST if it is not given")
	return c
}

// paste reads what the flags and the file have.
func (a *app) paste(p *pasted, sample, descriptorFile, at string) error {
	if sample != "-" {
		sample = "@" + sample
	}
	data, err := a.raw(sample)
	if err != nil {
		return err
	}
	if p.Request.Headers, p.Request.Body, err = parseSample(data); err != nil {
		return err
	}
	p.Request.Encoding = "base64"
	p.Request.URL, p.Request.Query, _ = strings.Cut(p.Request.URL, "?")
	if at != "" {
		t, err := time.Parse(time.RFC3339, at)
		if err != nil {
			return usagef("--at is %q: write a time such as 2026-01-02T03:04:05Z", at)
		}
		p.At = &t
	}
	if descriptorFile == "" {
		return nil
	}
	data, err = a.raw("@" + descriptorFile)
	if err != nil {
		return err
	}
	if _, err := descriptor.Parse(descriptorFile, data); err != nil {
		return err
	}
	p.Descriptor = rawJSON(data)
	return nil
}

// rawJSON is JSON that is passed on as it is.
type rawJSON []byte

// MarshalJSON implements json.Marshaler.
func (r rawJSON) MarshalJSON() ([]byte, error) { return r, nil }

// parseSample takes apart headers and body. The request line, if there is one, is passed over.
func parseSample(data []byte) (http.Header, []byte, error) {
	h := http.Header{}
	r := bufio.NewReader(bytes.NewReader(data))
	for first := true; ; first = false {
		line, end := r.ReadString('\n')
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			body, _ := io.ReadAll(r) // It is in memory.
			return h, body, nil
		}
		name, value, ok := strings.Cut(line, ":")
		switch {
		case ok && !strings.Contains(name, " "):
			h.Add(name, strings.TrimSpace(value))
		case !first:
			return nil, nil, usagef("the line %.60q is no header: write Name: value, an empty line, and the body", line)
		}
		if errors.Is(end, io.EOF) { // There is no body.
			return h, []byte{}, nil
		}
	}
}

func printJudged(w io.Writer, r signature.Report) {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, s := range r.Steps {
		fmt.Fprintf(tw, "%s\t%s\t%s\n", s.Result, s.Step, strings.TrimSpace(s.Reason))
		if s.Hint != "" {
			fmt.Fprintf(tw, "\t\t%s\n", s.Hint)
		}
	}
	tw.Flush()
	if r.Signed != "" {
		fmt.Fprintf(w, "signed    %s\n", strings.TrimSpace(r.Encoding+" "+r.Signed))
	}
	if r.DeliveryID != "" {
		fmt.Fprintf(w, "delivery  %s\n", r.DeliveryID)
	}
	if r.Handshake != "" {
		fmt.Fprintf(w, "handshake %s\n", r.Handshake)
	}
}
