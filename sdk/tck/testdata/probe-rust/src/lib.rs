//! Probe asks each function of the host by way of the SDK: what its input says, and
//! nothing else.

use cofferdam::{
    code, json, Confirmation, Connector, Context, Delivery, Doubt, Error, Headers, Incoming, Page, Record, Request, Response, Result, Value,
    Verdict, SECRET,
};
use std::time::Duration;

cofferdam::connector!(probe);

fn probe() -> Connector {
    Connector::new("probe-rust", "0.1.0")
        .config(json!({ "type": "object", "properties": { "word": { "type": "string", "default": "Hello" }, "n": { "type": "integer" } } }))
        .connection(json!({
            "name": "account", "type": "bearer", "hosts": ["api.example.com"], "rate": { "per_second": 9.5, "burst": 20 }
        }))
        .connection(json!({ "name": "shared", "type": "hmac", "hosts": ["api.example.com"], "sign": ["hmac-sha1", "hmac-sha256", "HS256"] }))
        .connection(json!({ "name": "app", "type": "private_key", "hosts": ["api.example.com"], "sign": ["EdDSA", "ES256", "RS256"] }))
        .connection(json!({ "name": "aws", "type": "aws_sigv4", "hosts": ["examplebucket.s3.amazonaws.com"], "sign": ["aws-sigv4"] }))
        .egress("api.example.com", &["GET", "POST", "PUT", "PATCH"])
        .idempotency("api.example.com", "Idempotency-Key", "1h")
        .action("get", json!({}), |ctx, input| {
            let value = ctx.state.get(input.str("key")?)?;
            Ok(json!({ "found": value.is_some(), "value": value }))
        })
        .action("set", json!({}), |ctx, input| done(ctx.state.set(input.str("key")?, &input["value"])))
        .action("delete", json!({}), |ctx, input| done(ctx.state.delete(input.str("key")?)))
        .action("swap", json!({}), |ctx, input| {
            let old = input.as_object().and_then(|o| o.get("old")).cloned();
            Ok(json!({ "swapped": ctx.state.compare_and_set(input.str("key")?, old, &input["new"])? }))
        })
        .action("add", json!({}), |ctx, input| Ok(json!({ "sum": ctx.state.add(input.str("key")?, input.int("delta")?)? })))
        .action("list", json!({}), list)
        .action("http", json!({}), http)
        .action("context", json!({}), |ctx, _| {
            let (word, n) = (&ctx.config["word"], &ctx.config["n"]);
            let now = ctx.now().as_millis() as u64;
            Ok(json!({ "execution": &ctx.execution, "attempt": ctx.attempt, "word": word, "n": n, "connections": &ctx.connections, "now": now }))
        })
        .action("echo", json!({}), |_, input| Ok(input.clone()))
        .action("log", json!({}), log)
        .action("emit", json!({}), |ctx, input| done(ctx.emit(input.str("name")?, input.str("key")?, &input["data"])))
        .action("tag", json!({}), |ctx, input| done(ctx.tag(input.str("name")?, input.str("value")?)))
        .action("sleep", json!({}), |ctx, input| match input["until"].as_str() {
            Some(until) => done(ctx.sleep_until(until)),
            None => done(ctx.sleep(Duration::from_millis(input.int("ms")? as u64))),
        })
        .action("again", json!({}), |ctx, input| match ctx.checkpoint.is_null() {
            true => Err(ctx.start_again_at(input.str("until")?, &input["checkpoint"])),
            false => Ok(json!({ "checkpoint": &ctx.checkpoint })),
        })
        .action("hmac", json!({}), hmac)
        .action("jwt", json!({}), |ctx, input| {
            let signed = ctx.sign.jwt(input.str("connection")?, input.str("algorithm")?, &input["claims"], lifetime(input))?;
            Ok(json!({ "token": signed.token, "expires_at": signed.expires_at }))
        })
        .action("sigv4", json!({}), |ctx, input| {
            let signed = ctx.sign.sigv4(input.str("connection")?, input.str("method")?, input.str("url")?, lifetime(input))?;
            Ok(json!({ "url": signed.url, "expires_at": signed.expires_at }))
        })
        .action("fail", json!({}), |_, input| {
            let wait = Duration::from_millis(input.int("retry_after_ms")? as u64);
            Err(Error::new(input.str("code")?, input.str("message")?).retry_after(wait).details(input["details"].clone()))
        })
        .action("bug", json!({}), |_, _| panic!("no error of ours"))
        .webhook("any", json!({ "scheme": "github" }), deliver)
        .verified_webhook("signed", json!({}), verify, deliver)
        .poll("count", json!({ "every": "1m" }), count)
        .confirm(confirm)
}

fn done(result: Result<()>) -> Result {
    result.map(|()| json!({}))
}

fn list(ctx: &Context, input: &Value) -> Result {
    let (entries, more) = ctx.state.list(input.str("prefix")?, input.str("after")?, input.int("limit")? as u32)?;
    let keys: Vec<_> = entries.iter().map(|e| e.key.clone()).collect();
    let values: Vec<_> = entries.into_iter().map(|e| e.value).collect();
    Ok(json!({ "keys": keys, "values": values, "more": more }))
}

fn http(ctx: &Context, input: &Value) -> Result {
    let mut r = Request::new(input.str("method")?, input.str("url")?);
    for (name, values) in input["headers"].as_object().into_iter().flat_map(|o| o.iter()) {
        for value in values.items() {
            r = r.header(name, value.as_str().unwrap_or_default());
        }
    }
    if let Some(name) = input["connection"].as_str() {
        r = r.connection(name);
    }
    if let Some(ms) = input["timeout_ms"].as_i64() {
        r = r.timeout(Duration::from_millis(ms as u64));
    }
    if let Some(key) = input["key"].as_str() {
        r = r.idempotency_key(key);
    }
    if !input["json"].is_null() {
        r = r.json(&input["json"]);
    } else if let Some(text) = input["text"].as_str() {
        r = r.body(text);
    } else {
        r = r.body(input["bytes"].items().iter().map(|b| b.as_i64().unwrap_or_default() as u8).collect::<Vec<_>>());
    }
    let response = ctx.http.send(r)?;
    let size = response.body.len();
    let text = String::from_utf8(response.body).ok().filter(|_| size < 1000);
    Ok(json!({ "status": response.status, "retry": response.headers.get("Retry-After"), "text": text, "size": size }))
}

fn hmac(ctx: &Context, input: &Value) -> Result {
    let payload = match input["text"].as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => input["bytes"].items().iter().map(|b| b.as_i64().unwrap_or_default() as u8).collect(),
    };
    let signed = ctx.sign.hmac(input.str("connection")?, input.str("algorithm")?, payload)?;
    Ok(json!({ "hex": signed.hex, "base64": signed.base64 }))
}

fn lifetime(input: &Value) -> Duration {
    Duration::from_secs(input["lifetime_s"].as_i64().unwrap_or_default() as u64)
}

fn log(ctx: &Context, input: &Value) -> Result {
    let (message, fields) = (input.str("message")?, input["fields"].clone());
    match input.str("level")? {
        "debug" => ctx.log.debug(message, fields),
        "info" => ctx.log.info(message, fields),
        "warn" => ctx.log.warn(message, fields),
        _ => ctx.log.error(message, fields),
    }
    Ok(json!({}))
}

fn deliver(_: &Context, d: &Delivery) -> Result {
    let (header, none) = (d.headers.get("X-Test"), d.headers.get("none"));
    Ok(json!({
        "id": &d.id, "method": &d.method, "path": &d.path, "query": &d.query, "header": header, "none": none, "bytes": d.body.clone()
    }))
}

fn verify(ctx: &Context, d: &Incoming) -> Result<Verdict> {
    match d.headers.get("X-Do") {
        "" => {}
        "http" => drop(ctx.http.send(Request::get("https://api.example.com/"))?),
        "state" => ctx.state.set("a", 1)?,
        "token" => drop(ctx.sign.jwt(SECRET, "HS256", json!({ "a": 1 }), Duration::ZERO)?),
        "spin" => loop {
            std::hint::spin_loop();
        },
        _ => panic!("no error of ours"),
    }
    match d.method.as_str() {
        "GET" => return Ok(Verdict::respond(200, &*d.query)),
        "PUT" => return Ok(Verdict::respond(201, json!({ "challenge": &d.json()?["challenge"] }))),
        _ => {}
    }
    let given = d.headers.get("X-Signature");
    if given.is_empty() {
        return Ok(Verdict::refuse(code::SIGNATURE_MISSING, "there is no x-signature"));
    }
    let secret = Some(d.headers.get("X-Secret")).filter(|s| !s.is_empty()).unwrap_or(SECRET);
    let mut signed = format!("{}|{}|{}|{}|", ctx.config.str("word")?, d.method, d.url, d.query).into_bytes();
    signed.extend_from_slice(&d.body);
    if !ctx.sign.hmac(secret, "hmac-sha256", signed)?.is(given) {
        return Ok(Verdict::refuse(code::SIGNATURE_INVALID, format!("it is another, at {}", d.received_at)));
    }
    Ok(Verdict::accept(d.headers.get("X-Id"), d.headers.get("X-Time").parse().ok()))
}

fn count(_: &Context, cursor: &Value) -> Result<Page> {
    let n = cursor["n"].as_i64().unwrap_or_default();
    if n >= 3 {
        return Ok(Page { cursor: cursor.clone(), ..Page::default() });
    }
    let next = json!({ "n": n + 1 });
    Ok(Page { records: vec![Record { key: (n + 1).to_string(), data: next.clone() }], cursor: next, more: true })
}

fn confirm(ctx: &Context, doubt: &Doubt) -> Result<Confirmation> {
    let url = doubt.request.str("url")?;
    ctx.fetch(Request::get(url))?;
    if url.ends_with("/no") {
        return Ok(Confirmation::NotHappened);
    }
    if !url.ends_with("/yes") {
        return Ok(Confirmation::Unsure);
    }
    let mut headers = Headers::default();
    headers.add("X-A", doubt.request["headers"]["x-a"][0].as_str().unwrap_or_default().into());
    Ok(Confirmation::Happened(Response { status: 201, headers, body: "made".into() }.into()))
}
