// What a sandbox has before the connector's own code runs: the web's interfaces that connectors use, on top of those
// that the engine's side modules bring (URL, URLSearchParams, TextEncoder, TextDecoder, Headers, crypto.subtle,
// structuredClone). What this package needs itself is loaded here, too, while the language's globals are as they were.
import "./door.js";
import "./web/url.js";
import "./web/timers.js";
import "./web/console.js";
import "./web/random.js";
import "./web/crypto.js";
import "./web/abort.js";
import "./web/fetch.js";
import "./index.js";
