//! `POST /v1/chat/completions`: read, plan, then answer or fail as planned.
//!
//! Must never begin an answer before the whole script is understood.

use std::time::UNIX_EPOCH;

use axum::{
    extract::{ConnectInfo, State, rejection::BytesRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header::AUTHORIZATION},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    clock,
    encode::{Carrier, ChunkWriter, Identity},
    faults::instead_of_answer,
    plan::Plan,
    refusal::Refusal,
    request::ChatRequest,
    script::{MODELS, Script},
    server::Provider,
    stats::{Arrival, Outcome, Ticket},
    stream::StreamedAnswer,
    whole::WholeAnswer,
    wire::Line,
};

const SCRIPT_HEADER: &str = "x-simulator";

pub(crate) async fn complete(
    State(provider): State<Provider>,
    ConnectInfo(line): ConnectInfo<Line>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let started = Instant::now();
    let body = match body {
        Ok(body) => body,
        Err(rejection) => {
            return Refusal::new(rejection.status(), None, rejection.body_text()).into_response();
        }
    };
    let request = ChatRequest::parse(&body);
    let (model, stream) = request
        .as_ref()
        .map_or(("", false), |request| (&request.model, request.streams()));
    let authorized = headers.contains_key(AUTHORIZATION);
    let mut ticket = provider.tally.open(&Arrival {
        model,
        stream,
        authorized,
        body: &body,
    });
    let number = ticket.number();

    let planned = request.and_then(|request| {
        let plan = plan(&provider, &headers, &request)?;
        Ok((request, plan))
    });
    let mut response = match planned {
        Ok((request, plan)) => match instead_of_answer(&plan, started, &line, &mut ticket).await {
            Some(fault) => fault,
            None => answer(&request, plan, started, line, ticket).await,
        },
        Err(refusal) => {
            ticket.settle(Outcome::Refused);
            refusal.into_response()
        }
    };
    if let Ok(id) = HeaderValue::try_from(format!("req-sim-{number}")) {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}

/// Finds the script and decides what it means for this request. Counts the request if its fault
/// does not happen every time.
fn plan(provider: &Provider, headers: &HeaderMap, request: &ChatRequest) -> Result<Plan, Refusal> {
    let of_header = match headers.get(SCRIPT_HEADER) {
        None => None,
        Some(value) => {
            let text = value
                .to_str()
                .map_err(|_| Refusal::invalid("the header x-simulator is not ASCII").about(SCRIPT_HEADER))?;
            let script = Script::parse(text)
                .map_err(|error| Refusal::invalid(error.to_string()).about(SCRIPT_HEADER))?;
            Some((text, script))
        }
    };
    let of_model = match Script::of_model(&request.model) {
        Some(script) => Some(script.map_err(|error| Refusal::invalid(error.to_string()).about("model"))?),
        None => None,
    };
    let (default_key, script) = match (of_header, of_model) {
        (None, None) => return Err(unknown_model(&request.model)),
        (None, Some(script)) => (request.model.as_str(), script),
        (Some((text, over)), script) => (text, script.unwrap_or_default().overlaid(over)),
    };
    let fault = script.fault.filter(|_| {
        let key = script.key.as_deref().unwrap_or(default_key);
        if script.skip.is_none() && script.times.is_none() {
            return true;
        }
        let turn = provider.attempts.next(key).checked_sub(script.skip.unwrap_or(0));
        turn.is_some_and(|turn| turn > 0 && script.times.is_none_or(|times| turn <= times))
    });
    Ok(Plan::new(&provider.config, &script, request, fault))
}

async fn answer(request: &ChatRequest, plan: Plan, started: Instant, line: Line, ticket: Ticket) -> Response {
    let number = ticket.number();
    let created = clock::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let identity = Identity {
        number,
        created,
        model: &request.model,
        unknown: plan.unknown,
    };
    let carrier = match &plan.function {
        Some(function) => Carrier::Call {
            function: function.clone(),
            id: format!("call-sim-{number}"),
        },
        None => Carrier::Content,
    };
    let pieces = plan.pieces(request);
    if request.streams() {
        let writer = ChunkWriter::new(&identity, carrier, plan.include_usage);
        StreamedAnswer {
            plan,
            pieces,
            writer,
            started,
            line,
            ticket,
        }
        .into_response()
    } else {
        WholeAnswer {
            plan,
            pieces,
            identity,
            carrier,
            started,
            line,
            ticket,
        }
        .into_response()
        .await
    }
}

fn unknown_model(model: &str) -> Refusal {
    let message = format!(
        "the model \"{model}\" does not exist; the simulator serves {}",
        MODELS.join(", ")
    );
    Refusal::new(StatusCode::NOT_FOUND, Some("model_not_found"), message).about("model")
}
