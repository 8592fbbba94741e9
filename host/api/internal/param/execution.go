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
