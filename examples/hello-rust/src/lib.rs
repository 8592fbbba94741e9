//! Hello-rust is a connector for GitHub: it counts the issues that are opened in each
//! repository, and labels them with the tenant's token.

mod github;

use cofferdam::{json, Connector, Context, Delivery, Result, Value};

cofferdam::connector!(hello);

fn hello() -> Connector {
    const CONFIGURED: &str = "{config.api_url}";
    Connector::new("hello-rust", "0.1.0")
        .title("Hello, GitHub")
        .description("Counts and labels issues.")
        .config(json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "label": {
                    "title": "Label", "description": "The label that a new issue gets.",
                    "type": "string", "default": "triage"
                },
                "api_url": {
                    "title": "API URL", "description": "The base of GitHub's REST API; change it for GitHub Enterprise.",
                    "type": "string", "format": "uri", "default": "https://api.github.com"
                }
            },
            "additionalProperties": false
        }))
        .connection(json!({ "name": "github", "title": "GitHub", "type": "bearer", "hosts": ["api.github.com", CONFIGURED] }))
        .egress("api.github.com", &["GET", "POST"])
        .egress(CONFIGURED, &["GET", "POST"])
        .action("label", label_action(), |ctx, input| {
            let labels = github::add_label(ctx, input.str("repo")?, input.int("number")?, input.str("label")?)?;
            Ok(json!({ "labels": labels }))
        })
        .webhook("issues", json!({ "title": "Issues", "scheme": "github" }), on_issues)
        .test(github::test)
}

fn label_action() -> Value {
    json!({
        "title": "Label an issue",
        "idempotent": true,
        "input": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "repo": { "description": "The repository, as owner/name.", "type": "string" },
                "number": { "description": "The issue's number.", "type": "integer" },
                "label": { "description": "The label to add; GitHub creates it if need be.", "type": "string" }
            },
            "required": ["repo", "number", "label"],
            "additionalProperties": false
        },
        "output": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "labels": { "description": "All labels of the issue.", "type": "array", "items": { "type": "string" } }
            },
            "required": ["labels"]
        }
    })
}

/// See <https://docs.github.com/webhooks/webhook-events-and-payloads#issues>.
fn on_issues(ctx: &Context, delivery: &Delivery) -> Result {
    let event = delivery.json()?;
    if event["action"].as_str() != Some("opened") {
        ctx.log.debug("nothing to do", json!({ "action": &event["action"] }));
        return Ok(Value::Null);
    }
    let (repo, number) = (event["repository"].str("full_name")?, event["issue"].int("number")?);
    let label = ctx.config.str("label")?;

    // People find the execution by repo=owner/name and issue=n.
    ctx.tag("repo", repo)?;
    ctx.tag("issue", &number.to_string())?;
    let count = ctx.state.add(&format!("issues/{repo}"), 1)?;
    github::add_label(ctx, repo, number, label)?;

    let done = json!({ "repo": repo, "issue": number, "label": label, "count": count });
    ctx.log.info("labelled", json!({ "repo": repo, "issue": number, "count": count }));
    ctx.emit("issue.labelled", &format!("{repo}#{number}"), &done)?;
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam::{Function, Host};
    use std::cell::RefCell;
    use std::time::Duration;

    /// Answers in order, and remembers what it was asked.
    struct Script {
        answers: RefCell<Vec<&'static str>>,
        asked: RefCell<Vec<String>>,
    }

    impl Host for Script {
        fn call(&self, function: &Function, request: &str) -> String {
            self.asked.borrow_mut().push(format!("{} {request}", function.name));
            self.answers.borrow_mut().remove(0).into()
        }

        fn random(&self, _: &mut [u8]) {}

        fn now(&self) -> Duration {
            Duration::from_secs(1_772_435_650)
        }
    }

    fn label(answer: &'static str) -> (Result<String>, Vec<String>) {
        let host = Script { answers: vec![answer].into(), asked: vec![].into() };
        let input = json!({ "action": "label", "input": { "repo": "o/r", "number": 7, "label": "triage" } });
        let output = hello().call(&host, "action", &input.to_string());
        (output, host.asked.into_inner())
    }

    #[test]
    fn all_labels_are_returned() {
        let (output, asked) = label(r#"{"result":{"status":200,"headers":{},"body":"[{\"name\":\"bug\"}]"}}"#);
        assert_eq!(output, Ok(r#"{"labels":["bug"]}"#.into()));
        assert!(asked[0].contains(r#""url":"https://api.github.com/repos/o/r/issues/7/labels""#), "{asked:?}");
    }

    #[test]
    fn a_quota_that_is_used_up_says_when_it_is_back() {
        let headers = r#"{"x-ratelimit-remaining":["0"],"x-ratelimit-reset":["1772435710"]}"#;
        let answer = format!(r#"{{"result":{{"status":403,"headers":{headers}}}}}"#);
        let e = label(Box::leak(answer.into_boxed_str())).0.unwrap_err();
        assert_eq!((e.code.as_str(), e.retry_after), ("rate_limited", Duration::from_secs(60)));
    }
}
