package runtimetest

// Asking is a typed connector, which describes itself with a manifest, and whose
// action puts a request to a host function of ours and outputs the answer.
func Asking(manifest, function, request string) []byte {
	var b Builder
	p := kernel(&b)
	ask := b.Import(User, function, "I", "I")
	length := b.Import(Extism, "length", "I", "I")
	output := b.Import(Extism, "output_set", "II", "")
	describe(&b, p, output, manifest)
	b.Func("action", "", "i", "I",
		p.place(request, 0), Op(0x20, 0), Invoke(ask), Op(0x22, 0),
		Op(0x20, 0), Invoke(length), Invoke(output), I32(0))
	return b.Bytes()
}

// Echoing is a typed connector whose action outputs its input: all that it was told.
func Echoing(manifest string) []byte {
	var b Builder
	p := kernel(&b)
	offset := b.Import(Extism, "input_offset", "", "I")
	length := b.Import(Extism, "input_length", "", "I")
	output := b.Import(Extism, "output_set", "II", "")
	describe(&b, p, output, manifest)
	b.Func("action", "", "i", "", Invoke(offset), Invoke(length), Invoke(output), I32(0))
	return b.Bytes()
}

func describe(b *Builder, p placer, output uint32, manifest string) {
	b.Func("describe", "", "i", "I", p.place(manifest, 0), Op(0x20, 0), I64(int64(len(manifest))), Invoke(output), I32(0))
}

// Insisting is a typed connector whose action puts a request to http and outputs the
// answer, or raises an error, a failure as the host takes it, unless its status is 2xx.
func Insisting(manifest, request, failure string) []byte {
	var b Builder
	p := kernel(&b)
	ask := b.Import(User, "http", "I", "I")
	load := b.Import(Extism, "load_u8", "I", "i")
	length := b.Import(Extism, "length", "I", "I")
	output := b.Import(Extism, "output_set", "II", "")
	set := b.Import(Extism, "error_set", "I", "")
	describe(&b, p, output, manifest)
	// The first digit of the status is where it is in every answer that has one.
	digit := int64(len(`{"result":{"status":`))
	b.Func("action", "", "i", "II",
		p.place(request, 0), Op(0x20, 0), Invoke(ask), Op(0x21, 0),
		Op(0x20, 0), I64(digit), Op(0x7c), Invoke(load), I32('2'), Op(0x46), Op(0x04, 0x7f),
		Op(0x20, 0), Op(0x20, 0), Invoke(length), Invoke(output), I32(0),
		Op(0x05),
		p.place(failure, 1), Op(0x20, 1), Invoke(set), I32(1),
		Op(0x0b))
	return b.Bytes()
}
