//! Requests to third parties, through the host, which adds the credentials.

use crate::abi::{self, Host};
use crate::error::{code, Error, Result};
use crate::json::{Object, Value};
use crate::{base64, date, json};
use std::time::Duration;

/// Makes requests. The host checks them against the manifest and the tenant's grant.
pub struct Http<'a>(pub(crate) &'a dyn Host);

impl Http<'_> {
    /// Makes a request. A status of 400 and above is an answer: see [`Response::check`].
    pub fn send(&self, request: Request) -> Result<Response> {
        let answer = abi::ask(self.0, &abi::HTTP, &request.wire())?;
        Ok(Response {
            status: answer["status"].as_i64().unwrap_or_default(),
            headers: Headers::read(&answer["headers"]),
            body: body_of(&answer),
        })
    }

    /// Makes a request and reads the JSON that comes back. A status of 400 and above is the
    /// error that [`Response::check`] gives.
    pub fn fetch(&self, request: Request) -> Result {
        self.send(request)?.check()?.json()
    }
}

/// A request to a third party.
///
/// ```
/// # use cofferdam::{json, Request};
/// let request = Request::post("https://api.example.com/customers")
///     .connection("example")
///     .json(json!({ "name": "Mona" }))
///     .idempotency_key("create");
/// ```
pub struct Request {
    wire: Object,
    headers: Headers,
    body: Vec<u8>,
}

impl Request {
    /// A request of any method, to an absolute URL.
    pub fn new(method: &str, url: impl Into<String>) -> Request {
        let mut wire = Object::default();
        wire.set("method", method);
        wire.set("url", url.into());
        Request { wire, headers: Headers::default(), body: Vec::new() }
    }

    /// GET.
    pub fn get(url: impl Into<String>) -> Request {
        Request::new("GET", url)
    }

    /// POST.
    pub fn post(url: impl Into<String>) -> Request {
        Request::new("POST", url)
    }

    /// PUT.
    pub fn put(url: impl Into<String>) -> Request {
        Request::new("PUT", url)
    }

    /// PATCH.
    pub fn patch(url: impl Into<String>) -> Request {
        Request::new("PATCH", url)
    }

    /// DELETE.
    pub fn delete(url: impl Into<String>) -> Request {
        Request::new("DELETE", url)
    }

    /// Names the connection whose credential the host adds.
    pub fn connection(mut self, name: &str) -> Request {
        self.wire.set("connection", name);
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Request {
        self.headers.add(name, value.into());
        self
    }

    /// Sends these bytes as they are.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Request {
        self.body = body.into();
        self
    }

    /// Sends this as `application/json`, unless a header says otherwise.
    pub fn json(mut self, body: impl Into<Value>) -> Request {
        if self.headers.get("content-type").is_empty() {
            self.headers.add("content-type", "application/json".into());
        }
        self.body(body.into().to_string())
    }

    /// Can only shorten the host's own.
    pub fn timeout(mut self, timeout: Duration) -> Request {
        self.wire.set("timeout_ms", timeout.as_millis() as u64);
        self
    }

    /// Names the request among all of this execution, so that the host it goes to knows it
    /// if it has to be sent again: 1 to 128 visible ASCII characters, not beginning with
    /// `h-`. It needs an idempotency of the connector for that host, and then it need not
    /// be set: it is made of the request.
    pub fn idempotency_key(mut self, key: &str) -> Request {
        self.wire.set("idempotency_key", key);
        self
    }

    /// What looks like a placeholder of the connection's `slots` is text: say so where the
    /// text is somebody else's.
    pub fn literal(mut self) -> Request {
        self.wire.set("literal", true);
        self
    }

    fn wire(mut self) -> Value {
        self.wire.set("headers", &self.headers);
        put_body(&mut self.wire, &self.body);
        self.wire.into()
    }
}

/// What came back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Response {
    /// Such as 200.
    pub status: i64,
    /// Names are in lower case.
    pub headers: Headers,
    /// The body's bytes.
    pub body: Vec<u8>,
}

impl Response {
    /// Gives itself below a status of 400. Above, it is an error with the code that most
    /// APIs mean by the status, the wait that Retry-After asks for, and the beginning of
    /// the body in its message: 401 and 403 `auth`; 408, 500 and above
    /// `upstream_unavailable`; 425 and 429 `rate_limited`; any other `invalid_input`.
    pub fn check(self) -> Result<Response> {
        let code = match self.status {
            i64::MIN..=399 => return Ok(self),
            401 | 403 => code::AUTH,
            425 | 429 => code::RATE_LIMITED,
            408 | 500..=i64::MAX => code::UPSTREAM_UNAVAILABLE,
            _ => code::INVALID_INPUT,
        };
        Err(Error::new(code, format!("the API answered with status {}: {}", self.status, self.excerpt()))
            .retry_after(self.retry_after())
            .details(json!({ "status": self.status })))
    }

    /// Reads the body as JSON. What does not fit is `contract_changed`: the third party
    /// answers with something else than it used to.
    pub fn json(&self) -> Result {
        let wrong = |e: String| Error::new(code::CONTRACT_CHANGED, format!("decode the response (status {}): {e}", self.status));
        let text = std::str::from_utf8(&self.body).map_err(|e| wrong(e.to_string()))?;
        Value::parse(text).map_err(wrong)
    }

    /// The body as text, with U+FFFD for what is none.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Enough of the body to recognise an error message: most APIs' fit in 300 characters.
    fn excerpt(&self) -> String {
        const ENOUGH: usize = 300;
        let text = self.text();
        match text.char_indices().nth(ENOUGH) {
            Some((end, _)) => format!("{}...", &text[..end]),
            None => text,
        }
    }

    /// Seconds or a date, <https://www.rfc-editor.org/rfc/rfc9110#field.retry-after>. A
    /// date counts from the response's own, so that clocks need not agree.
    fn retry_after(&self) -> Duration {
        const YEAR: i64 = 365 * 24 * 60 * 60;
        let value = self.headers.get("retry-after");
        let seconds = value.parse().ok().or_else(|| Some(date::parse(value)? - date::parse(self.headers.get("date"))?));
        Duration::from_secs(seconds.unwrap_or(0).clamp(0, YEAR) as u64)
    }
}

/// The form in which a `Confirmation` tells of a response.
impl From<Response> for Value {
    fn from(r: Response) -> Value {
        let mut wire = Object::default();
        wire.set("status", r.status);
        wire.set("headers", &r.headers);
        put_body(&mut wire, &r.body);
        wire.into()
    }
}

/// Names in lower case, each with its values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Headers(Vec<(String, Vec<String>)>);

impl Headers {
    pub(crate) fn read(wire: &Value) -> Headers {
        let mut headers = Headers::default();
        for (name, values) in wire.as_object().into_iter().flat_map(Object::iter) {
            for value in values.items() {
                headers.add(name, value.as_str().unwrap_or_default().into());
            }
        }
        headers
    }

    /// The first value of a name, in whatever case, or the empty string.
    pub fn get(&self, name: &str) -> &str {
        self.all(name).first().map_or("", String::as_str)
    }

    /// All values of a name, in whatever case.
    pub fn all(&self, name: &str) -> &[String] {
        let found = self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map_or(&[], |(_, values)| values)
    }

    /// Adds a value.
    pub fn add(&mut self, name: &str, value: String) {
        let name = name.to_ascii_lowercase();
        match self.0.iter_mut().find(|(n, _)| *n == name) {
            Some((_, values)) => values.push(value),
            None => self.0.push((name, vec![value])),
        }
    }
}

impl From<&Headers> for Value {
    fn from(headers: &Headers) -> Value {
        let mut wire = Object::default();
        for (name, values) in &headers.0 {
            wire.set(name, values.clone());
        }
        wire.into()
    }
}

/// What came as body, or as body_base64.
pub(crate) fn body_of(message: &Value) -> Vec<u8> {
    match message["body"].as_str() {
        Some(text) => text.into(),
        None => base64::decode(message["body_base64"].as_str().unwrap_or_default()),
    }
}

/// Puts a body in as text where it is text.
fn put_body(wire: &mut Object, body: &[u8]) {
    match std::str::from_utf8(body) {
        Ok("") => {}
        Ok(text) => wire.set("body", text),
        Err(_) => wire.set("body_base64", base64::encode(body)),
    }
}

/// One segment of a URL's path, or a value of its query, with what would end it escaped.
pub fn escape(segment: &str) -> String {
    let mut escaped = String::with_capacity(segment.len());
    for c in segment.bytes() {
        match c {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(c)),
            _ => escaped.push_str(&format!("%{c:02X}")),
        }
    }
    escaped
}
