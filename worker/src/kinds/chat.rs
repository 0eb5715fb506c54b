//! Chat: one call of a model, streamed into the journal.

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use shared::clock;
use shared::domain::chat::ChatSpec;
use shared::domain::{Event, UsageReported};
use shared::ledger::Claimed;
use shared::telemetry::vocabulary;

use super::{Answered, Outcome};
use crate::journal::{Journal, JournalError};
use crate::providers::openai::ChatStream;
use crate::providers::{ChatCall, ChatPiece, Usage};
use crate::routing::{Route, Router};

/// Executes a chat run. Dropping it drops the provider's connection.
pub(crate) async fn execute(run: &Claimed, router: &Router, journal: &mut Journal) -> Outcome {
    let spec: ChatSpec = match serde_json::from_str(&run.spec) {
        Ok(spec) => spec,
        Err(error) => return Outcome::BadSpec(error),
    };
    let route = router.route(&spec);
    if let Err(lost) = journal.event(Event::RouteSelected(route.event())) {
        return Outcome::Lost(lost);
    }
    match stream(run, &spec, &route, journal).await {
        Ok(answered) => Outcome::Answered(answered),
        Err(Stopped::Lost(lost)) => Outcome::Lost(lost),
        Err(Stopped::Provider(error)) => Outcome::ProviderFailed {
            provider: route.provider.name().to_owned(),
            model: route.model.to_owned(),
            error,
        },
    }
}

enum Stopped {
    Provider(crate::providers::ProviderError),
    Lost(JournalError),
}

impl From<crate::providers::ProviderError> for Stopped {
    fn from(error: crate::providers::ProviderError) -> Self {
        Self::Provider(error)
    }
}

impl From<JournalError> for Stopped {
    fn from(lost: JournalError) -> Self {
        Self::Lost(lost)
    }
}

async fn stream(
    run: &Claimed,
    spec: &ChatSpec,
    route: &Route<'_>,
    journal: &mut Journal,
) -> Result<Answered, Stopped> {
    let call = ChatCall {
        model: route.model,
        messages: &spec.messages,
        max_tokens: spec.max_tokens,
        temperature: spec.temperature,
        params: &spec.params,
        stream: spec.params.get("stream") != Some(&Value::Bool(false)),
        traceparent: run.trace_parent.as_deref(),
    };
    let began = clock::now();
    let mut answer = route.provider.start(&call).await?;
    let mut finish_reason = None;
    let mut usage = None;
    while let Some(piece) = answer.next().await? {
        match piece {
            ChatPiece::Delta {
                index: 0,
                mut delta,
                beside,
            } => {
                // What stands beside a delta (log probabilities, unknown fields) is kept with it.
                delta.delta.extend(beside);
                let first = !journal.visible() && delta.is_visible();
                journal.delta(delta).await?;
                if first {
                    let waited = clock::now().since(began).as_secs_f64() * 1e3;
                    metrics::histogram!(vocabulary::FIRST_TOKEN_MS, "provider" => route.provider.name().to_owned(),
                        "model" => route.model.to_owned())
                    .record(waited);
                }
            }
            // A run has one answer; admission refuses to ask for more.
            ChatPiece::Delta { .. } => {}
            ChatPiece::Finished { reason, .. } => finish_reason = finish_reason.or(Some(reason)),
            ChatPiece::Usage(report) => usage = Some(report),
        }
    }
    let cost = usage.as_ref().and_then(|usage| {
        route
            .price
            .map(|price| price.cost(usage.input_tokens, usage.output_tokens))
    });
    if let Some(usage) = &usage {
        report(usage, route, cost, journal)?;
    }
    Ok(Answered {
        provider: route.provider.name().to_owned(),
        model: route.model.to_owned(),
        finish_reason: finish_reason.unwrap_or_default(),
        metadata: beside_the_answer(&answer),
        usage: usage.map(|usage| usage.raw.to_string()),
        cost,
    })
}

/// What the provider said beside the answer. Each field is JSON that was parsed before, so none is lost here.
fn beside_the_answer(answer: &ChatStream) -> Map<String, Value> {
    let parsed = |field: &RawValue| serde_json::from_str(field.get()).ok();
    let fields = answer.metadata().into_iter();
    fields
        .filter_map(|(name, field)| Some((name, parsed(&field)?)))
        .collect()
}

fn report(
    usage: &Usage,
    route: &Route<'_>,
    cost_usd: Option<shared::domain::Usd>,
    journal: &Journal,
) -> Result<(), JournalError> {
    let (provider, model) = (route.provider.name().to_owned(), route.model.to_owned());
    for (direction, tokens) in [("input", usage.input_tokens), ("output", usage.output_tokens)] {
        metrics::counter!(vocabulary::TOKENS, "direction" => direction, "provider" => provider.clone(),
            "model" => model.clone())
        .increment(tokens);
    }
    journal.event(Event::UsageReported(UsageReported {
        provider,
        model,
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
        cost_usd,
        raw: usage.raw.clone(),
    }))
}
