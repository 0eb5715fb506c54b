//! The body of a request.

use serde_json::{Map, Value, json};

use super::conversation::Conversation;
use super::family::Family;
use super::structure::Structure;
use super::tools::Tools;
use crate::providers::ChatCall;
use crate::providers::anthropic::{Circumstances, Generation, INSTRUCTION, Thinking};
use crate::providers::canonical::{Params, Unsent};
use crate::providers::wire::Fault;

/// Fields of Converse that parameters may name, in their place.
const CONVERSE: [&str; 7] = [
    "additionalModelResponseFieldPaths",
    "guardrailConfig",
    "guardrailIdentifier",
    "performanceConfig",
    "promptVariables",
    "requestMetadata",
    "serviceTier",
];
/// Where a model's own parameters go; may be named too, and is added to then.
const MODEL_FIELDS: &str = "additionalModelRequestFields";
/// What a thinking Claude's budget is a share of where nothing bounds its answer.
const LIMIT: u64 = 4096;
/// With thinking on, Claude may be sampled from no smaller share.
const LEAST_THINKING_TOP_P: f64 = 0.95;

/// Writes the body.
pub(super) fn body(call: &ChatCall<'_>) -> Result<Vec<u8>, Fault> {
    let params = Params::new(call.params);
    params.refuse_foreign()?;
    if params
        .get("logit_bias")
        .is_some_and(|bias| bias.as_object().is_none_or(|bias| !bias.is_empty()))
    {
        return Err(Fault::unsupported("logit_bias: not taken by this provider"));
    }
    let family = Family::of(call.model);
    let structure = Structure::of(&params, family)?;
    if call.beginning.is_some() && matches!(structure, Structure::BySchema(_) | Structure::ByTool(_)) {
        let why = "response_format: an answer that is held to JSON cannot be gone on with";
        return Err(Fault::unsupported(why));
    }
    let tools = Tools::of(&params, &structure, family)?;
    let mut conversation = Conversation::read(call, family)?;
    if structure == Structure::ByWord {
        conversation.instruct(INSTRUCTION);
    }
    let beginning = call.beginning.map(|beginning| Unsent::split(beginning).0);
    if let Some(beginning) = beginning.filter(|text| !text.is_empty()) {
        conversation.begin_answer(beginning);
    }

    let mut body = Map::new();
    let mut fields = Map::new();
    for (name, value) in params.own() {
        match value {
            Value::Object(more) if name == MODEL_FIELDS => fields.extend(more.clone()),
            _ if CONVERSE.contains(&name) => {
                body.insert(name.to_owned(), value.clone());
            }
            _ => {
                fields.insert(name.to_owned(), value.clone());
            }
        }
    }
    let inference = match family {
        Family::Claude(generation) => {
            let without_room = call.beginning.is_some() || conversation.resumes_without_thinking;
            claude(
                call,
                &params,
                &tools,
                Claude {
                    generation,
                    without_room,
                },
                &mut fields,
            )?
        }
        _ => {
            if let Some(effort) = params.effort()? {
                family.think(effort, &mut fields);
            }
            sampling(call, &params, family, &mut fields)
        }
    };
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.to_owned(), value);
        }
    };
    put("inferenceConfig", object(with_stop(inference, &params)?));
    put(MODEL_FIELDS, object(fields));
    put("toolConfig", tools.config);
    if let Structure::BySchema(config) = structure {
        put("outputConfig", Some(config));
    }
    let system = std::mem::take(&mut conversation.system);
    put("system", (!system.is_empty()).then(|| system.into()));
    put("messages", Some(conversation.into_messages().into()));
    serde_json::to_vec(&body)
        .map_err(|error| Fault::malformed(format!("the request cannot be written as JSON: {error}")))
}

/// What the parameters of a Claude depend on.
#[derive(Debug, Clone, Copy)]
struct Claude {
    generation: Generation,
    without_room: bool,
}

/// `inferenceConfig` of a Claude, which takes less while it thinks, and less with every generation; its own
/// parameters go into `fields`.
fn claude(
    call: &ChatCall<'_>,
    params: &Params<'_>,
    tools: &Tools,
    claude: Claude,
    fields: &mut Map<String, Value>,
) -> Result<Map<String, Value>, Fault> {
    let Claude {
        generation,
        without_room,
    } = claude;
    let asked = params.limit(call);
    let limit = asked.or(call.model_max_output.map(u64::from)).unwrap_or(LIMIT);
    let thinking = Thinking::of(
        params,
        Circumstances {
            generation,
            limit,
            forced: tools.forced,
            without_room,
        },
    )?;
    let is_on = thinking.is_on();
    let within_budget = thinking
        .setting
        .as_ref()
        .is_some_and(|setting| setting.get("budget_tokens").is_some());
    let mut inference = Map::new();
    // A budget is part of the limit, which therefore must be said.
    if let Some(limit) = asked.or(within_budget.then_some(limit)) {
        inference.insert("maxTokens".to_owned(), limit.into());
    }
    if generation.samples() {
        let temperature = params.temperature(call).filter(|_| !is_on);
        if let Some(temperature) = temperature {
            inference.insert("temperature".to_owned(), temperature.min(1.0).into());
        }
        let alone = temperature.is_none() || !generation.samples_one_way();
        let top_p = params.get("top_p").filter(|top_p| {
            alone && (!is_on || top_p.as_f64().is_some_and(|top_p| top_p >= LEAST_THINKING_TOP_P))
        });
        if let Some(top_p) = top_p {
            inference.insert("topP".to_owned(), top_p.clone());
        }
        if let Some(top_k) = params.get("top_k").filter(|_| !is_on) {
            fields.entry("top_k").or_insert_with(|| top_k.clone());
        }
    }
    if let Some(setting) = thinking.setting {
        fields.insert("thinking".to_owned(), setting);
    }
    if let Some(effort) = thinking.effort {
        let config = fields.entry("output_config").or_insert_with(|| json!({}));
        if let Value::Object(config) = config {
            config.entry("effort").or_insert_with(|| effort.into());
        }
    }
    if let Some(choice) = &tools.one_at_a_time {
        fields.entry("tool_choice").or_insert_with(|| choice.clone());
    }
    Ok(inference)
}

/// `inferenceConfig` of any other model. Converse's temperatures reach to 1, OpenAI's to 2.
fn sampling(
    call: &ChatCall<'_>,
    params: &Params<'_>,
    family: Family,
    fields: &mut Map<String, Value>,
) -> Map<String, Value> {
    let mut inference = Map::new();
    if let Some(limit) = params.limit(call) {
        inference.insert("maxTokens".to_owned(), limit.into());
    }
    if let Some(temperature) = params.temperature(call) {
        inference.insert("temperature".to_owned(), temperature.min(1.0).into());
    }
    if let Some(top_p) = params.get("top_p") {
        inference.insert("topP".to_owned(), top_p.clone());
    }
    if let Some(top_k) = params.get("top_k") {
        family.top_k(top_k, fields);
    }
    inference
}

fn with_stop(mut inference: Map<String, Value>, params: &Params<'_>) -> Result<Map<String, Value>, Fault> {
    let stop = params.stop()?;
    if !stop.is_empty() {
        inference.insert("stopSequences".to_owned(), stop.into());
    }
    Ok(inference)
}

fn object(fields: Map<String, Value>) -> Option<Value> {
    (!fields.is_empty()).then_some(Value::Object(fields))
}
