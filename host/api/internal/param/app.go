package param

// OneOperatorApp is an OAuth app of the operator's.
type OneOperatorApp struct {
	App string `path:"app" doc:"The app's id or name." example:"github"`
}

// OneApp is an OAuth app that a tenant may connect with.
type OneApp struct {
	InTenant
	OneOperatorApp
}
