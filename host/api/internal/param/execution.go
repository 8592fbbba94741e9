package param

// OneExecution is an execution of a tenant.
type OneExecution struct {
	InTenant
	Execution string `path:"execution" doc:"The execution's id."`
}

// OneRedrive is a redrive of a tenant.
type OneRedrive struct {
	InTenant
	Redrive string `path:"redrive" doc:"The redrive's id."`
}

// OneRedelivery is a redelivery of a tenant.
type OneRedelivery struct {
	InTenant
	Redelivery string `path:"redelivery" doc:"The redelivery's id."`
}

// OneConnectSession is a connect session of a tenant.
type OneConnectSession struct {
	InTenant
	Session string `path:"session" doc:"The connect session's id."`
}
