// Package quickjs makes the WebAssembly module that runs a JavaScript bundle:
// QuickJS-NG as the npm package quickjs-wasi ships it, its modules for the web's
// APIs, and glue that speaks Extism, linked into one.
//
//	engine, err := quickjs.Link("node_modules/quickjs-wasi", []string{"http", "log"})
//	frozen, err := rt.Freeze(ctx, engine, limits, runtime.Freezing{Export: "load", Input: bundle})
//
// The module exports memory, load, and the six exports of a connector. load takes
// the bundle as its input and evaluates it; it is to be called once, and what it
// leaves behind is to be frozen. It imports what the host serves, and nothing else.
//
// Nothing of the engine is in this repository: it comes from the author's
// node_modules, and each file is held against a checksum. The glue is glue/glue.c.
//
// # What a script finds
//
// ECMAScript 2023 without Intl; URL, URLSearchParams, TextEncoder, TextDecoder,
// Headers, crypto, structuredClone, atob, btoa, performance and DOMException, as the
// side modules have them: URLSearchParams takes texts only, and a URL has no
// searchParams; whoever mounts a connector adds those. Of crypto.subtle, pkcs8 and
// spki are bare keys (PKCS #1 for RSA), and there are no JSON Web Keys. And the object __cofferdam,
// which a prelude takes and deletes:
//
//	input(): string                 the call's input
//	output(text: string): void      the call's output
//	error(text: string): void       the call's error: the export then returns 1
//	call(name, request): string     a function of the host
//	random(n: number): ArrayBuffer  random bytes, of the call
//
// The script sets __cofferdam_dispatch to a function that is called with the
// export's index (describe 0, action 1, webhook 2, poll 3, test 4, confirm 5). What
// it returns may be a promise: jobs are run until there are none, and a promise
// that is pending then is an error. So is one that was rejected and that nobody
// handled. A recursion of about 800 frames is a RangeError, and memory that runs out
// an InternalError, both to be caught.
//
// While the bundle is loaded there is no host and no randomness: what they gave
// would be the same in every call, for every tenant.
package quickjs
