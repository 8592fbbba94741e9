module journal

go 1.26.0
