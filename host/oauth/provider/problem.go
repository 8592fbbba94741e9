package provider

// Codes of the faults that this package gives.
const (
	codeInvalid   = "provider_invalid"
	codeVariables = "provider_variables_invalid"
	codeNotFound  = "provider_not_found"
	codeTaken     = "provider_name_taken"
)
