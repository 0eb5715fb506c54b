//! `mcpctl providers test`: one small call from this process, by the client that workers use. Made once, never again: a
//! test that tries until it succeeds tells nothing.

use std::time::Duration;

use clap::Args;
use serde_json::value::RawValue;
use serde_json::{Map, json};
use shared::catalog::{LiveProvider, Model, Prices, UsageCounts};
use shared::domain::Usd;
use tokio::time::Instant;
use worker::providers::{ChatCall, ChatPiece, Provider, ProviderError, ProviderSettings, Timeouts, Usage};

use super::here::Here;
use crate::args::{Format, OutputArgs};
use crate::exit::CliError;
use crate::output::{SIMULATED, Screen, Table};
use crate::roles::start;

/// Few tokens, and enough for models that reason before they speak.
const MAX_TOKENS: u32 = 64;
const PROMPT: &str = r#"[{"role":"user","content":"Answer with the one word: pong"}]"#;

#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// The provider's name, as `mcpctl providers list` shows it
    #[arg(value_name = "NAME")]
    name: String,
    /// The model to ask; without it the cheapest one that the catalog lists
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

/// How the call went.
struct Answered {
    text: String,
    usage: Option<Usage>,
    first_token: Option<Duration>,
    whole: Duration,
    simulated: bool,
}

pub(super) async fn run(args: TestArgs) -> Result<(), CliError> {
    let here = Here::read()?;
    let mut screen = Screen::new(args.output.format);
    let live = find(&here, &args.name)?;
    let (model, prices) = model(&here, live, args.model)?;
    let provider = client(live, &here)?;
    screen.busy(format!("asking {} for {model}", live.provider.name));
    let answered = call(&provider, &model).await;
    screen.rest();
    let answered = answered.map_err(|error| failed(&error, live, &model))?;
    let cost = answered.usage.as_ref().zip(prices).map(|(usage, prices)| {
        // Neither caches nor reasoning to speak of in a call like this one.
        prices.cost(&UsageCounts::plain(usage.input_tokens, usage.output_tokens))
    });
    show(&mut screen, live, &model, &answered, cost).await
}

fn find<'a>(here: &'a Here, name: &str) -> Result<&'a LiveProvider, CliError> {
    if let Some(live) = here
        .liveness
        .live
        .iter()
        .find(|live| *live.provider.name == *name)
    {
        return Ok(live);
    }
    let absent = here
        .liveness
        .absent
        .iter()
        .find(|absent| *absent.provider == *name);
    let problem = match absent {
        Some(absent) => format!("{name} cannot be called from here: {}", absent.why),
        None => format!("the catalog has no provider `{name}`"),
    };
    Err(CliError::Usage {
        problem,
        next: "mcpctl providers list".to_owned(),
    })
}

/// The model's name at the provider, and what it charges.
fn model(
    here: &Here,
    live: &LiveProvider,
    asked: Option<String>,
) -> Result<(String, Option<Prices>), CliError> {
    let provider = &live.provider;
    let of_it = |model: &&std::sync::Arc<Model>| model.provider == provider.name;
    let prices = |model: &Model| model.prices.clone().or_else(|| provider.default_prices.clone());
    if let Some(name) = asked {
        let known = here.catalog.candidates(&name).find(of_it);
        return Ok(match known {
            Some(model) => (model.name.as_ref().to_owned(), prices(model)),
            None => (name, provider.default_prices.clone()),
        });
    }
    let cost = |model: &&std::sync::Arc<Model>| {
        let cost = prices(model).map(|prices| prices.cost(&UsageCounts::plain(100, 100)));
        // One whose price is not known comes last: it might be any.
        (cost.is_none(), cost)
    };
    let listed = here.catalog.models().iter().filter(of_it);
    if let Some(model) = listed.filter(|model| model.capabilities.chat).min_by_key(cost) {
        return Ok((model.name.as_ref().to_owned(), prices(model)));
    }
    match &here.parts.config.auto {
        Some(auto) => Ok((auto.clone(), provider.default_prices.clone())),
        None => Err(CliError::Usage {
            problem: format!("the catalog lists no model of {}", provider.name),
            next: format!("mcpctl providers test {} --model MODEL", provider.name),
        }),
    }
}

fn client(live: &LiveProvider, here: &Here) -> Result<Provider, CliError> {
    let provider = &live.provider;
    let timeouts = here.parts.config.timeouts;
    let settings = ProviderSettings {
        name: provider.name.as_ref().to_owned(),
        dialect: provider.dialect,
        base_url: live.base_url.clone(),
        query: Vec::new(),
        auth: provider.auth.clone(),
        api_keys: live.keys.clone(),
        credentials: live.credentials.clone(),
        api_key_env: live.key_env.clone(),
        quirks: provider.quirks.clone(),
        timeouts: Timeouts {
            connect: timeouts.connect,
            first_token: timeouts.first_token,
            between_tokens: timeouts.between_tokens,
            total: timeouts.total,
        },
        simulated: provider.simulated,
    };
    Provider::new(settings)
        .map_err(|error| start::broken("the provider cannot be used", error, "correct the environment"))
}

async fn call(provider: &Provider, model: &str) -> Result<Answered, ProviderError> {
    #[expect(clippy::expect_used, reason = "a constant of this file, which a test reads")]
    let messages: &RawValue = serde_json::from_str(PROMPT).expect("the prompt is JSON");
    let params = Map::new();
    let call = ChatCall {
        model,
        messages,
        max_tokens: Some(MAX_TOKENS),
        model_max_output: None,
        beginning: None,
        temperature: None,
        params: &params,
        stream: true,
        traceparent: None,
    };
    let began = Instant::now();
    let mut stream = provider.start(&call).await?;
    let (mut text, mut usage, mut first_token) = (String::new(), None, None);
    while let Some(piece) = stream.next().await? {
        match piece {
            ChatPiece::Delta { delta, .. } => {
                if delta.is_visible() {
                    first_token.get_or_insert_with(|| began.elapsed());
                }
                text.push_str(&delta.text);
            }
            ChatPiece::Usage(counted) => usage = Some(counted),
            ChatPiece::Finished { .. } => {}
        }
    }
    Ok(Answered {
        text,
        usage,
        first_token,
        whole: began.elapsed(),
        simulated: stream.simulated(),
    })
}

/// What to do about it: the provider's own words are in the error.
fn failed(error: &ProviderError, live: &LiveProvider, model: &str) -> CliError {
    use worker::providers::ErrorKind;
    let name = &live.provider.name;
    let variable = live.key_env.as_deref().unwrap_or("its key");
    let next = match error.kind() {
        ErrorKind::Unauthorized { .. } => format!("check {variable}"),
        ErrorKind::Connect => format!("see that {} can be reached from here", live.base_url),
        ErrorKind::Rejected { status: 404 } => {
            format!("mcpctl providers test {name} --model MODEL    ({model} may be none of its models)")
        }
        ErrorKind::Rejected { .. } => {
            format!("mcpctl providers test {name} --model MODEL    (another model)")
        }
        ErrorKind::RateLimited { .. } => "wait, or look at the account's limits and balance".to_owned(),
        _ => "the same command again in a moment".to_owned(),
    };
    start::broken(format!("{name} does not answer"), error.public_message(), next)
}

async fn show(
    screen: &mut Screen,
    live: &LiveProvider,
    model: &str,
    answered: &Answered,
    cost: Option<Usd>,
) -> Result<(), CliError> {
    let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let Answered {
        text,
        usage,
        first_token,
        whole,
        simulated,
    } = answered;
    if screen.format == Format::Json {
        let facts = json!({
            "provider": *live.provider.name,
            "model": model,
            "ok": true,
            "text": text,
            "first_token_ms": first_token.map(millis),
            "duration_ms": millis(*whole),
            "input_tokens": usage.as_ref().map(|usage| usage.input_tokens),
            "output_tokens": usage.as_ref().map(|usage| usage.output_tokens),
            "cost_usd": cost,
            "simulated": simulated,
        });
        return Ok(screen.json(&facts.to_string()).await?);
    }
    let unknown = || "unknown".to_owned();
    let mut table = Table::default();
    table.row(["provider", &live.provider.name]);
    table.row(["model", model]);
    if *simulated {
        table.row(["", SIMULATED]);
    }
    table.row(["answer", text.trim()]);
    table.row([
        "first token",
        &first_token.map_or_else(unknown, |first| format!("{} ms", millis(first))),
    ]);
    table.row(["whole answer", &format!("{} ms", millis(*whole))]);
    table.row([
        "tokens",
        &usage.as_ref().map_or_else(unknown, |usage| {
            format!("{} in, {} out", usage.input_tokens, usage.output_tokens)
        }),
    ]);
    table.row([
        "cost",
        &cost.map_or_else(unknown, |cost| format!("${:.9}", cost.dollars())),
    ]);
    Ok(screen.line(&table.text()).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prompt_can_be_read() {
        serde_json::from_str::<&RawValue>(PROMPT).unwrap();
    }
}
