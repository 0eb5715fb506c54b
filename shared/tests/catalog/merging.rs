//! What a user's file says comes before what is compiled in, and only where it says something.

use shared::catalog::{Auth, Catalog, Dialect, LiveWhen, Quality};

use super::with;

#[test]
fn a_provider_is_changed_field_by_field() {
    let before = Catalog::built_in();
    let catalog = with(
        "[providers.groq]\nbase_url = 'https://proxy.example.com/groq/v1/'\nlimits = { rpm = 30, concurrency = 4 }\n\
         quirks.stream_options = false",
    );
    let (groq, was) = (
        catalog.provider("groq").unwrap(),
        before.provider("groq").unwrap(),
    );
    assert_eq!(groq.base_url, "https://proxy.example.com/groq/v1");
    assert_eq!(
        (groq.limits.rpm, groq.limits.tpm, groq.limits.concurrency),
        (Some(30), None, Some(4))
    );
    assert!(!groq.quirks.stream_options);
    assert_eq!(groq.quirks.dropped_params, was.quirks.dropped_params);
    assert_eq!(groq.quirks.stream_usage, was.quirks.stream_usage);
    assert_eq!(
        (&groq.key_env, &groq.source, groq.live_when),
        (&was.key_env, &was.source, LiveWhen::Key)
    );
    assert_eq!(catalog.providers().len(), before.providers().len());
    assert_eq!(catalog.models().len(), before.models().len());
}

#[test]
fn a_new_provider_needs_an_address_and_no_more() {
    let catalog = with(
        "[providers.mine]\nbase_url = 'http://10.0.0.7:9000/v1'\n\
         [providers.other]\nbase_url = 'https://{OTHER_HOST}/v1'\nkey_env = ['OTHER_KEY']\ndialect = 'anthropic'\n\
         auth = { header = 'x-api-key' }\nquirks.headers = { 'anthropic-version' = '2023-06-01' }\n\
         default_prices = { input = 1, output = 2.5 }",
    );
    let mine = catalog.provider("mine").unwrap();
    assert_eq!(
        (mine.dialect, &mine.auth, mine.live_when),
        (Dialect::OpenAi, &Auth::Bearer, LiveWhen::Always)
    );
    let other = catalog.provider("other").unwrap();
    assert_eq!(
        (other.dialect, other.live_when),
        (Dialect::Anthropic, LiveWhen::Key)
    );
    assert_eq!(other.auth, Auth::Header("x-api-key".to_owned()));
    let prices = catalog.unlisted("other/any")[0].prices.clone().unwrap();
    assert_eq!(
        (prices.base.input.dollars(), prices.base.output.dollars()),
        (1.0, 2.5)
    );
}

#[test]
fn a_model_is_changed_field_by_field() {
    let before = Catalog::built_in();
    let catalog = with(
        "[[models]]\nprovider = 'openai'\nname = 'gpt-4o'\naliases = ['Work-Horse']\nquality = 5\n\
         prices = { input = 2, output = 8, tiers = [{ above_input_tokens = 100, input = 3, output = 9 }] }",
    );
    let (model, was) = (
        catalog.candidates("openai/gpt-4o").next().unwrap(),
        before.candidates("openai/gpt-4o").next().unwrap(),
    );
    let prices = model.prices.as_ref().unwrap();
    assert_eq!(
        (prices.base.input.dollars(), prices.base.cached_input),
        (2.0, None)
    );
    assert!((prices.rates(101).output.dollars() - 9.0).abs() < f64::EPSILON);
    assert_eq!(model.quality, Some(Quality::MOST));
    assert_eq!(
        (model.context_window, model.capabilities),
        (was.context_window, was.capabilities)
    );
    assert_eq!(&*model.origin.source, "the user's catalog file");
    assert_eq!(catalog.candidates("work-horse").count(), 1);
    assert_eq!(catalog.models().len(), before.models().len());
}

#[test]
fn a_new_model_is_known_by_what_is_said_and_no_more() {
    let catalog = with(
        "[[models]]\nprovider = 'ollama'\nname = 'qwen3:8b'\ncontext_window = 40960\n\
         capabilities = ['chat', 'tools', 'json_schema']\ntask_types = ['code']",
    );
    let model = catalog.candidates("qwen3:8b").next().unwrap();
    assert!(model.capabilities.tools && model.capabilities.json_schema && !model.capabilities.vision);
    assert_eq!(
        (model.context_window, model.max_output, &model.prices),
        (Some(40_960), None, &None)
    );
    assert_eq!(model.task_types, ["code"]);
}

#[test]
fn the_second_file_comes_before_the_first() {
    let first =
        with("[chains]\na = ['gpt-4o']\nb = ['gpt-4o']\n[providers.groq]\ntitle = 'first'\nlocal = true");
    let second = first
        .merge(
            "second.toml",
            "[chains]\na = ['gpt-4o-mini']\n[providers.groq]\ntitle = 'second'",
        )
        .unwrap();
    assert_eq!(second.chain("a").unwrap().links, ["gpt-4o-mini"]);
    assert_eq!(second.chain("b").unwrap().links, ["gpt-4o"]);
    let groq = second.provider("groq").unwrap();
    assert_eq!((groq.title.as_str(), groq.local), ("second", true));
}

#[test]
fn an_empty_file_changes_nothing() {
    let (before, after) = (Catalog::built_in(), with("# nothing yet\n"));
    assert_eq!(before.providers(), after.providers());
    assert_eq!(before.models(), after.models());
}
