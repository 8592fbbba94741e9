module verify

go 1.26.0

require github.com/cofferdam-run/cofferdam/sdk/go v0.0.0

replace github.com/cofferdam-run/cofferdam/sdk/go => ../../../sdk/go
