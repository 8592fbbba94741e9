package param

// OneSchedule is a schedule of a tenant.
type OneSchedule struct {
	InTenant
	Schedule string `path:"schedule" doc:"The schedule's id or name." example:"nightly"`
}
