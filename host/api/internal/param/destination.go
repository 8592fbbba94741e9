package param

// OneOperatorDestination is a destination of the operator's.
type OneOperatorDestination struct {
	Destination string `path:"destination" doc:"The destination's id or name." example:"app.example.com"`
}

// OneDestination is a destination of a tenant.
type OneDestination struct {
	InTenant
	OneOperatorDestination
}

// OneDelivery is a message on its way to a destination.
type OneDelivery struct {
	OneOperatorDestination
	Delivery string `path:"delivery" doc:"The delivery's id."`
}

// OneWatch is something of a tenant's that is watched.
type OneWatch struct {
	InTenant
	Object string `path:"object" doc:"The id of an endpoint, the id or name of a schedule, or queue, or digest." example:"queue"`
}

// DeliveryFilter is which deliveries are wanted.
type DeliveryFilter struct {
	Page
	State string `query:"state" enum:"waiting,delivered,failed" doc:"Only those in a state."`
	Type  string `query:"type" maxLength:"100" doc:"Only those of messages of a type." example:"record.order"`
}
