//! What a submit says that a run will take.

use std::sync::Arc;
use std::time::Duration;

use api::ProviderFacts;
use serde_json::{Value, json};
use shared::catalog::{Catalog, CatalogHandle, Model, UsageCounts};

use crate::answered::answered;
use crate::house::{House, Plan};
use crate::stage::Stage;

/// What a submit of this body is expected to take.
async fn estimated(house: &House, body: Value) -> (Value, Value) {
    let answer = house.submit(&body).await;
    answer.accepted();
    (
        answer.body["estimated_tokens"]["output"].clone(),
        answer.body["estimated_cost_usd"].clone(),
    )
}

#[tokio::test]
async fn an_estimate_goes_by_the_catalog() {
    let providers = ProviderFacts {
        catalog: CatalogHandle::fixed(Catalog::built_in()),
        auto: None,
    };
    let catalog = providers.catalog.current();
    let house = House::build(Plan {
        providers,
        ..Plan::default()
    })
    .await;
    let body = |model: &str| json!({ "prompt": "x".repeat(4_000), "model": model, "max_tokens": 1_000 });
    // 1,000 tokens of text and 4 of the message's frame.
    let known = catalog.candidates("gemini/gemini-2.5-flash").next().unwrap();
    let cost = known
        .prices
        .as_ref()
        .unwrap()
        .cost(&UsageCounts::plain(1_004, 1_000));
    let (output, said) = estimated(&house, body("gemini/gemini-2.5-flash")).await;
    assert_eq!((output, said), (json!(1_000), json!(cost.dollars())));
    // A model that several providers offer: by the dearest, unless one is preferred.
    let prices = |model: &Model| Some(model.prices.as_ref()?.cost(&UsageCounts::plain(1_004, 1_000)));
    let llamas = catalog
        .models()
        .iter()
        .filter(|model| model.name.contains("llama"));
    let shared = llamas.into_iter().find(|model| {
        let all: Vec<_> = catalog
            .candidates(&model.name)
            .filter_map(|model| prices(model))
            .collect();
        all.len() > 1
            && prices(model).is_some()
            && all.iter().max() != all.iter().min()
            && catalog.candidates(&model.name).any(|other| other == *model)
            && prices(model) < all.iter().copied().max()
            && catalog
                .candidates(&model.name)
                .filter(|other| other.provider == model.provider)
                .count()
                == 1
    });
    let shared = shared.unwrap();
    let dearest = catalog
        .candidates(&shared.name)
        .filter_map(|model| prices(model))
        .max()
        .unwrap();
    let (_, said) = estimated(&house, body(&shared.name)).await;
    assert_eq!(said, json!(dearest.dollars()), "{}", shared.name);
    let mut hinted = body(&shared.name);
    hinted["provider_hint"] = json!(*shared.provider);
    let (_, said) = estimated(&house, hinted).await;
    assert_eq!(said, json!(prices(shared).unwrap().dollars()), "{}", shared.id());
    // Nobody can say more than its model can.
    let most = known.max_output.unwrap();
    let mut long = body("gemini/gemini-2.5-flash");
    long["max_tokens"] = json!(most + 1);
    assert_eq!(estimated(&house, long).await.0, json!(most));
    // Chosen by task type, or of nobody we know: no price, and so no cost.
    for unknown in ["auto", "no-such-model-at-all"] {
        assert_eq!(estimated(&house, body(unknown)).await.1, Value::Null, "{unknown}");
    }
    house.close().await;
}

#[tokio::test]
async fn an_answer_without_a_bound_is_expected_to_be_like_the_others() {
    let stage = Arc::new(Stage::open().await);
    answered(&stage.ledger, "summary", &[100; 20]).await;
    let house = House::over(stage, Plan::default()).await;
    // The first look at the ledger is under way.
    let learned = async {
        let body = json!({ "prompt": "x", "task_type": "summary" });
        while estimated(&house, body.clone()).await.0 != json!(100) {}
    };
    tokio::time::timeout(Duration::from_secs(20), learned)
        .await
        .unwrap();
    for (field, value, expected) in [
        ("max_tokens", json!(7), 7),
        ("params", json!({ "max_completion_tokens": 8 }), 8),
        ("task_type", json!("chat"), 1_024),
    ] {
        let mut body = json!({ "prompt": "x", "task_type": "summary" });
        body[field] = value;
        assert_eq!(estimated(&house, body).await.0, json!(expected), "{field}");
    }
    house.close().await;
}

#[tokio::test]
async fn the_prompt_of_an_openai_model_is_counted() {
    let either = "[chains]\neither = [\"openai/gpt-4o-mini\", \"gemini/gemini-2.5-flash\"]\n";
    let catalog = Catalog::built_in().merge("example.toml", either).unwrap();
    let house = House::build(Plan {
        providers: ProviderFacts {
            catalog: CatalogHandle::fixed(catalog.clone()),
            auto: None,
        },
        ..Plan::default()
    })
    .await;
    let submit = async |model: &str| {
        let prompt = "Count me, пожалуйста: 日本語。".repeat(10);
        let answer = house
            .submit(&json!({ "prompt": prompt, "model": model, "max_tokens": 10 }))
            .await;
        answer.accepted();
        answer.body
    };
    let input = async |model: &str| submit(model).await["estimated_tokens"]["input"].as_u64().unwrap();
    // 440 bytes are approximated as 110 tokens; a message's frame is 4, the beginning of an answer 3.
    for (model, counted) in [
        ("openai/gpt-4o-mini", 80 + 4 + 3),
        ("openai/gpt-4-turbo", 150 + 4 + 3),
    ] {
        assert_eq!(
            input(model).await,
            114,
            "{model}: its vocabulary is not there yet"
        );
        let loaded = async { while input(model).await != counted {} };
        tokio::time::timeout(Duration::from_secs(60), loaded)
            .await
            .unwrap_or_else(|_| panic!("{model}"));
    }
    let model = catalog.candidates("openai/gpt-4o-mini").next().unwrap();
    let cost = model.prices.as_ref().unwrap().cost(&UsageCounts::plain(87, 10));
    let said = &submit("openai/gpt-4o-mini").await["estimated_cost_usd"];
    assert_eq!(*said, json!(cost.dollars()));
    // Of others nothing is known, and where either may answer the longer counts.
    for model in ["gemini/gemini-2.5-flash", "either", "auto"] {
        assert_eq!(input(model).await, 114, "{model}");
    }
    let messages = json!([{ "role": "user", "name": "ann", "content": "hello" }, { "role": "system", "content": "hello" }]);
    let named = json!({ "messages": messages, "model": "openai/gpt-4o-mini" });
    // Three words, the name's mark, two frames, the beginning of an answer.
    let named = house.submit(&named).await;
    assert_eq!(named.body["estimated_tokens"]["input"], 3 + 1 + 8 + 3);
    house.close().await;
}
