// Guest does in Go what project/src does in TypeScript.
package main

import (
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
)

var _ = connector.Define(connector.Connector{
	Name:    "bench",
	Version: "1.0.0",
	Actions: []connector.Action{
		{Name: "hello", Run: connector.Func(hello)},
		{Name: "map", Run: connector.Func(mapped)},
	},
})

func main() {} // Never runs: the host calls what Define defined.

// Who is the input of hello.
type Who struct {
	Name string `json:"name"`
}

// Greeting is its output.
type Greeting struct {
	Text string `json:"text"`
}

func hello(_ *connector.Context, who Who) (Greeting, error) {
	return Greeting{Text: "Hello, " + who.Name + "!"}, nil
}

// Records is the input of map.
type Records struct {
	Records []Record `json:"records"`
}

// Record is one as a vendor has it.
type Record struct {
	ID        int      `json:"id"`
	FirstName string   `json:"first_name"`
	LastName  string   `json:"last_name"`
	Email     string   `json:"email"`
	Amount    string   `json:"amount"`
	Created   string   `json:"created"`
	Tags      []string `json:"tags"`
}

// Customers is the output of map.
type Customers struct {
	Count     int        `json:"count"`
	Total     int        `json:"total"`
	Customers []Customer `json:"customers"`
}

// Customer is a record as the tenant wants it.
type Customer struct {
	ExternalID string `json:"externalId"`
	Name       string `json:"name"`
	Email      string `json:"email"`
	Cents      int    `json:"cents"`
	Year       int    `json:"year"`
	Slug       string `json:"slug"`
	Tags       string `json:"tags,omitempty"`
}

var other = regexp.MustCompile(`[^a-z0-9]+`)

func mapped(_ *connector.Context, in Records) (Customers, error) {
	out := Customers{Customers: []Customer{}}
	for _, r := range in.Records {
		if !strings.Contains(r.Email, "@") {
			continue
		}
		amount, err := strconv.ParseFloat(r.Amount, 64)
		if err != nil {
			return Customers{}, err
		}
		year, err := strconv.Atoi(r.Created[:4])
		if err != nil {
			return Customers{}, err
		}
		c := Customer{
			ExternalID: "cust_" + strconv.Itoa(r.ID),
			Name:       strings.TrimSpace(r.FirstName + " " + r.LastName),
			Email:      strings.ToLower(r.Email),
			Cents:      int(math.Round(amount * 100)),
			Year:       year,
			Slug:       other.ReplaceAllString(strings.ToLower(r.LastName), "-"),
		}
		if len(r.Tags) > 0 {
			c.Tags = strings.Join(append(r.Tags, "synced"), ",")
		}
		out.Total += c.Cents
		out.Customers = append(out.Customers, c)
	}
	out.Count = len(out.Customers)
	return out, nil
}
