module github.com/cofferdam-run/cofferdam/sdk/go

go 1.26.0
