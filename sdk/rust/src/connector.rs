//! What a connector is and does.

use crate::abi::Host;
use crate::context::Context;
use crate::error::{code, Error, Result};
use crate::http::{body_of, Headers};
use crate::json;
use crate::json::{Object, Value};
use crate::verify::{Incoming, Verdict};

/// Makes a function that gives a [`Connector`] the program's: the exports that the host
/// calls. Write it once, at the top of the crate: `cofferdam::connector!(hello);`.
#[macro_export]
macro_rules! connector {
    ($make:ident) => {
        #[cfg(target_arch = "wasm32")]
        mod cofferdam_exports {
            $crate::connector!(@exports $make describe action webhook poll test confirm verify);

            #[no_mangle]
            pub extern "C" fn warmup() -> i32 {
                $crate::internal::warm_up(super::$make)
            }
        }
    };
    (@exports $make:ident $($export:ident)*) => { $(
        #[no_mangle]
        pub extern "C" fn $export() -> i32 {
            $crate::internal::serve(super::$make, stringify!($export))
        }
    )* };
}

type Action = fn(&Context, &Value) -> Result;
type Webhook = fn(&Context, &Delivery) -> Result;
type Poll = fn(&Context, &Value) -> Result<Page>;
type Test = fn(&Context) -> Result<()>;
type Confirm = fn(&Context, &Doubt) -> Result<Confirmation>;
type Verify = fn(&Context, &Incoming) -> Result<Verdict>;

/// What a connector is and does: the manifest of `sdk/ABI.md`, and the functions behind it.
pub struct Connector {
    manifest: Object,
    actions: Vec<(&'static str, Action)>,
    webhooks: Vec<(&'static str, Webhook)>,
    verifies: Vec<(&'static str, Verify)>,
    polls: Vec<(&'static str, Poll)>,
    test: Option<Test>,
    confirm: Option<Confirm>,
}

impl Connector {
    /// A connector's name is lower-case letters, digits and hyphens; its version is a
    /// semantic version, <https://semver.org>.
    pub fn new(name: &str, version: &str) -> Connector {
        let mut manifest = Object::default();
        manifest.set("name", name);
        manifest.set("version", version);
        Connector { manifest, actions: vec![], webhooks: vec![], verifies: vec![], polls: vec![], test: None, confirm: None }
    }

    /// For people.
    pub fn title(self, title: &str) -> Connector {
        self.with("title", title)
    }

    /// For people.
    pub fn description(self, description: &str) -> Connector {
        self.with("description", description)
    }

    /// The JSON Schema of an installation's configuration, whose defaults fill
    /// [`Context::config`].
    pub fn config(self, schema: Value) -> Connector {
        self.with("config", schema)
    }

    /// An account that the connector needs: `{"name","title","type","hosts","sign","slots","fields","rate"}`.
    /// The rate is what its vendor allows with one account, `{"per_second","burst"}`: requests
    /// that come faster wait for their turn.
    pub fn connection(self, connection: Value) -> Connector {
        self.also("connections", connection)
    }

    /// The descriptor of an authorization server that hosts need not know: a connection of
    /// the type oauth2 names it by its name.
    pub fn provider(self, descriptor: Value) -> Connector {
        self.also("providers", descriptor)
    }

    /// A wish to make HTTP requests. The host is a host name, `*.` and a host name, or
    /// `{config.name}`: the host of the URL in that property of the configuration.
    pub fn egress(self, host: &str, methods: &[&str]) -> Connector {
        self.also("egress", json!({ "host": host, "methods": methods }))
    }

    /// Says that a host knows a request that comes again by a key in a header, and for how
    /// long, such as `24h`.
    pub fn idempotency(self, host: &str, header: &str, ttl: &str) -> Connector {
        self.also("idempotency", json!({ "host": host, "header": header, "ttl": ttl }))
    }

    /// Says by which answers a host means that it did not accept a request.
    pub fn not_done(self, host: &str, status: &[u16]) -> Connector {
        self.also("not_done", json!({ "host": host, "status": status }))
    }

    /// Names a function of the host app's own.
    pub fn function(self, name: &str) -> Connector {
        self.also("functions", json!(name))
    }

    /// Wishes, which a tenant's grant and the operator can only narrow:
    /// `{"memory_mib","timeout_ms","fuel"}`.
    pub fn limits(self, limits: Value) -> Connector {
        self.with("limits", limits)
    }

    /// Something that a tenant can have done: `{"title","input","output","idempotent"}`.
    pub fn action(mut self, name: &'static str, about: Value, run: Action) -> Connector {
        self.actions.push((name, run));
        self.also("actions", named(name, about))
    }

    /// A kind of delivery that the connector takes: `{"title","scheme"}`.
    pub fn webhook(mut self, name: &'static str, about: Value, run: Webhook) -> Connector {
        self.webhooks.push((name, run));
        self.also("webhooks", named(name, about))
    }

    /// A kind of delivery of which no scheme says how the vendor signs it: `{"title"}`. The
    /// first function decides whether one is authentic, before anything is stored. It has
    /// [`Sign::hmac`](crate::Sign::hmac) with the endpoint's secret
    /// ([`SECRET`](crate::SECRET), [`SECRET_BASE64`](crate::SECRET_BASE64),
    /// [`SECRET_HEX`](crate::SECRET_HEX)), and the configuration: no HTTP, no state, no log, and
    /// 50 ms of a core. An error refuses.
    ///
    /// ```
    /// use cofferdam::{code, json, Connector, Context, Delivery, Incoming, Result, Value, Verdict, SECRET};
    ///
    /// fn shop() -> Connector {
    ///     Connector::new("shop", "0.1.0")
    ///         .connection(json!({ "name": "shop", "type": "bearer", "hosts": ["api.shop.example"], "rate": { "per_second": 9 } }))
    ///         .verified_webhook("orders", json!({ "title": "Orders" }), verify, on_order)
    /// }
    ///
    /// fn verify(ctx: &Context, delivery: &Incoming) -> Result<Verdict> {
    ///     let given = delivery.headers.get("X-Signature");
    ///     if given.is_empty() {
    ///         return Ok(Verdict::refuse(code::SIGNATURE_MISSING, "there is no X-Signature"));
    ///     }
    ///     if !ctx.sign.hmac(SECRET, "hmac-sha256", &delivery.body[..])?.is(given) {
    ///         return Ok(Verdict::refuse(code::SIGNATURE_INVALID, "it is another"));
    ///     }
    ///     Ok(Verdict::accept(delivery.headers.get("X-Id"), None))
    /// }
    ///
    /// fn on_order(_: &Context, _: &Delivery) -> Result {
    ///     Ok(Value::Null)
    /// }
    /// ```
    pub fn verified_webhook(mut self, name: &'static str, about: Value, verify: Verify, run: Webhook) -> Connector {
        self.verifies.push((name, verify));
        let mut about = about.as_object().cloned().unwrap_or_default();
        about.set("verify", true);
        self.webhook(name, about.into(), run)
    }

    /// Fetches what is new, every so often: `{"title","every"}`. The function is given the
    /// cursor of the last page, null at first.
    pub fn poll(mut self, name: &'static str, about: Value, run: Poll) -> Connector {
        self.polls.push((name, run));
        self.also("polls", named(name, about))
    }

    /// Checks an installation: credentials, reachability. It should change nothing.
    pub fn test(mut self, run: Test) -> Connector {
        self.test = Some(run);
        self.with("test", true)
    }

    /// Finds out whether a request had its effect that was sent and not answered, and that
    /// must not be made twice. It may look, and change nothing.
    pub fn confirm(mut self, run: Confirm) -> Connector {
        self.confirm = Some(run);
        self.with("confirm", true)
    }

    fn with(mut self, member: &str, value: impl Into<Value>) -> Connector {
        self.manifest.set(member, value);
        self
    }

    fn also(self, member: &str, value: Value) -> Connector {
        let mut all = self.manifest.get(member).map_or(&[][..], Value::items).to_vec();
        all.push(value);
        self.with(member, all)
    }

    /// Runs an export of `sdk/ABI.md`: describe, action, webhook, poll, test, confirm or
    /// verify. The sandbox and unit tests call it; connectors have no need to.
    pub fn call(&self, host: &dyn Host, export: &str, input: &str) -> Result<String> {
        if export == "describe" {
            return Ok(Value::Object(self.manifest.clone()).to_string());
        }
        let invalid = |e: String| Error::new(code::INVALID_INPUT, format!("read the input of {export}: {e}"));
        let envelope = Value::parse(input).map_err(invalid)?;
        if envelope.as_object().is_none() {
            return Err(invalid("it is not a JSON object".into()));
        }
        let ctx = Context::new(host, &envelope, self.configuration(&envelope["config"]));
        self.dispatch(&ctx, export, &envelope).map(|output| output.to_string())
    }

    fn dispatch(&self, ctx: &Context, export: &str, envelope: &Value) -> Result {
        let name = envelope[export].as_str().unwrap_or_default();
        let none = || Error::new(code::INVALID_INPUT, format!("this connector has no {export}"));
        match export {
            "action" => find("action", &self.actions, name)?(ctx, &envelope["input"]),
            "webhook" => find("webhook", &self.webhooks, name)?(ctx, &Delivery::read(&envelope["request"])),
            "poll" => find("poll", &self.polls, name)?(ctx, &envelope["cursor"]).map(Page::wire),
            "test" => self.test.ok_or_else(none)?(ctx).map(|()| json!({})),
            "confirm" => self.confirm.ok_or_else(none)?(ctx, &Doubt::read(envelope)).map(Confirmation::wire),
            "verify" => find("verify", &self.verifies, name)?(ctx, &Incoming::read(envelope)).map(Verdict::wire),
            _ => Err(none()),
        }
    }

    /// The configuration, with the defaults of its schema where the tenant says nothing.
    fn configuration(&self, given: &Value) -> Value {
        let mut config = given.as_object().cloned().unwrap_or_default();
        let schema = self.manifest.get("config").unwrap_or(&Value::Null);
        for (name, property) in schema["properties"].as_object().into_iter().flat_map(Object::iter) {
            if let (None, Some(default)) = (config.get(name), property.as_object().and_then(|p| p.get("default"))) {
                config.set(name, default);
            }
        }
        config.into()
    }
}

fn named(name: &str, about: Value) -> Value {
    let mut all = Object::default();
    all.set("name", name);
    for (member, value) in about.as_object().into_iter().flat_map(Object::iter) {
        all.set(member, value);
    }
    all.into()
}

fn find<T: Copy>(kind: &str, all: &[(&'static str, T)], name: &str) -> Result<T> {
    let found = all.iter().find(|(n, _)| *n == name).map(|(_, run)| *run);
    let names = || all.iter().map(|(n, _)| *n).collect::<Vec<_>>();
    found.ok_or_else(|| Error::new(code::INVALID_INPUT, format!("there is no {kind} {name:?}; this connector has {:?}", names())))
}

/// A webhook's request.
pub struct Delivery {
    /// The vendor's id of this delivery.
    pub id: String,
    /// Such as `2026-01-02T15:04:05Z`.
    pub received_at: String,
    /// Such as POST.
    pub method: String,
    /// The path that it came to.
    pub path: String,
    /// What follows the question mark, undecoded.
    pub query: String,
    /// Leaves out what carries a signature or credential.
    pub headers: Headers,
    /// The body's bytes.
    pub body: Vec<u8>,
}

impl Delivery {
    fn read(request: &Value) -> Delivery {
        let text = |name: &str| request[name].as_str().unwrap_or_default().to_string();
        Delivery {
            id: text("id"),
            received_at: text("received_at"),
            method: text("method"),
            path: text("path"),
            query: text("query"),
            headers: Headers::read(&request["headers"]),
            body: body_of(request),
        }
    }

    /// Reads the body as JSON. What is none is `invalid_input`.
    pub fn json(&self) -> Result {
        let wrong = |e: String| Error::new(code::INVALID_INPUT, format!("decode the body of delivery {:?}: {e}", self.id));
        let text = std::str::from_utf8(&self.body).map_err(|e| wrong(e.to_string()))?;
        Value::parse(text).map_err(wrong)
    }
}

/// What a poll found.
#[derive(Default)]
pub struct Page {
    /// The records.
    pub records: Vec<Record>,
    /// Where to go on the next time. It is committed with the records.
    pub cursor: Value,
    /// Asks to be called again at once.
    pub more: bool,
}

impl Page {
    fn wire(self) -> Value {
        let records: Vec<Value> = self.records.into_iter().map(|r| json!({ "key": r.key, "data": r.data })).collect();
        json!({ "records": records, "cursor": self.cursor, "more": self.more })
    }
}

/// One thing that a poll found.
pub struct Record {
    /// Tells records apart: an installation keeps the first of each.
    pub key: String,
    /// What was found.
    pub data: Value,
}

/// A request of which nobody knows whether it had its effect: it was sent, and no final
/// answer came.
pub struct Doubt {
    /// The function that was asked: `http`, or one of the host app's.
    pub function: String,
    /// The request, as the connector made it.
    pub request: Value,
    /// When it was sent first, such as `2026-01-02T15:04:05Z`.
    pub asked_at: String,
}

impl Doubt {
    fn read(envelope: &Value) -> Doubt {
        let text = |name: &str| envelope[name].as_str().unwrap_or_default().to_string();
        Doubt { function: text("function"), request: envelope["request"].clone(), asked_at: text("asked_at") }
    }
}

/// What became of a [`Doubt`].
pub enum Confirmation {
    /// It had its effect. The execution goes on with this, as if it had come then: for
    /// `http` make it of a [`Response`](crate::Response).
    Happened(Value),
    /// It had no effect, and will have none: it is made again.
    NotHappened,
    /// It cannot be known yet. It is asked again later, and in the end left to a person.
    Unsure,
}

impl Confirmation {
    fn wire(self) -> Value {
        match self {
            Confirmation::Happened(response) => json!({ "happened": true, "response": response }),
            Confirmation::NotHappened => json!({ "happened": false }),
            Confirmation::Unsure => json!({}),
        }
    }
}
