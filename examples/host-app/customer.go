package main

// customer is one of Harbor Desk's: a firm, and who signs in for it.
type customer struct {
	// Key is what the firm is called in addresses and forms.
	Key, Name string
	// Person is who signs in.
	Person  string
	Tickets []ticket
	// Tenant is the firm's id in Cofferdam. It comes from here and the sign-in, and never
	// from a request: that is what keeps customers apart.
	Tenant string
}

// ticket is somebody's question to a customer.
type ticket struct{ Number, Name, Email, Subject string }

// fictional are the customers that there are.
func fictional() []*customer {
	return []*customer{
		{
			Key: "lantern", Name: "Lantern Bakery", Person: "Ada",
			Tickets: []ticket{
				{"1041", "Mia Holm", "mia@holm.example", "Do you bake without nuts?"},
				{"1042", "Teo Brandt", "teo@brandt.example", "The cake came without its candle"},
				{"1043", "Ines Duarte", "ines@duarte.example", "Forty rolls for Saturday"},
			},
		},
		{
			Key: "nordwind", Name: "Nordwind Cycles", Person: "Ben",
			Tickets: []ticket{
				{"2007", "Olu Adeyemi", "olu@adeyemi.example", "My gears slip uphill"},
				{"2008", "Petra Vogel", "petra@vogel.example", "When do you open on Sunday?"},
			},
		},
	}
}

func (c *customer) ticket(number string) (ticket, bool) {
	for _, t := range c.Tickets {
		if t.Number == number {
			return t, true
		}
	}
	return ticket{}, false
}
