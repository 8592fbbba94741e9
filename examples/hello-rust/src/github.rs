//! GitHub's REST API, and what its errors mean.

use cofferdam::{code, escape, json, Context, Error, Request, Response, Result, Value};
use std::time::Duration;

/// Adds a label, and gives all of the issue's, see
/// <https://docs.github.com/rest/issues/labels#add-labels-to-an-issue>.
pub fn add_label(ctx: &Context, repo: &str, number: i64, label: &str) -> Result<Vec<Value>> {
    let (owner, name) = match repo.split_once('/') {
        Some((owner, name)) if !owner.is_empty() && !name.is_empty() && !name.contains('/') => (owner, name),
        _ => return Err(Error::new(code::INVALID_INPUT, format!("the repository {repo:?} is not of the form owner/name"))),
    };
    if number < 1 {
        return Err(Error::new(code::INVALID_INPUT, format!("the issue's number is {number}; they begin at 1")));
    }
    let path = format!("/repos/{}/{}/issues/{number}/labels", escape(owner), escape(name));
    let request = Request::post(url(ctx, &path)?).json(json!({ "labels": [label] }));
    Ok(call(ctx, request)?.items().iter().map(|one| one["name"].clone()).collect())
}

/// Asks who the token belongs to.
pub fn test(ctx: &Context) -> Result<()> {
    let user = call(ctx, Request::get(url(ctx, "/user")?))?;
    ctx.log.info("the token works", json!({ "login": &user["login"] }));
    Ok(())
}

fn url(ctx: &Context, path: &str) -> Result<String> {
    let base = ctx.config.str("api_url")?;
    Ok(format!("{}{path}", base.strip_suffix('/').unwrap_or(base)))
}

/// Makes a request to GitHub with the tenant's token.
fn call(ctx: &Context, request: Request) -> Result {
    let response = ctx.http.send(
        request
            .connection("github")
            .header("Accept", "application/vnd.github+json")
            .header("User-Agent", "cofferdam-hello-rust")
            .header("X-GitHub-Api-Version", "2022-11-28"),
    )?;
    if let Some(wait) = rate_limit(ctx, &response) {
        let message = format!("GitHub answered with status {}: its rate limit is used up", response.status);
        return Err(Error::new(code::RATE_LIMITED, message).retry_after(wait));
    }
    response.check()?.json()
}

/// How long GitHub asks to wait, if it does. It answers 403 for that as well as 429, see
/// <https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api>.
fn rate_limit(ctx: &Context, r: &Response) -> Option<Duration> {
    if r.status != 403 && r.status != 429 {
        return None;
    }
    let seconds = |name: &str| r.headers.get(name).parse().ok().map(Duration::from_secs);
    if let Some(wait) = seconds("retry-after") {
        return Some(wait);
    }
    if r.headers.get("x-ratelimit-remaining") == "0" {
        if let Some(reset) = seconds("x-ratelimit-reset") {
            return Some(reset.saturating_sub(ctx.now()));
        }
    }
    if r.text().contains("secondary rate limit") {
        return Some(Duration::from_secs(60)); // What GitHub asks for when it says no time.
    }
    (r.status == 429).then_some(Duration::ZERO)
}
