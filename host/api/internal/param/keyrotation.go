package param

// OneKeyRotation is a rotation of a tenant's key.
type OneKeyRotation struct {
	InTenant
	Rotation string `path:"rotation" doc:"The rotation's id."`
}
