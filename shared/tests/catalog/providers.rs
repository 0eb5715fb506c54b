//! Every provider that is compiled in, line by line: a change of an address, a header or a quirk shows here, and is made
//! here too, on purpose.

use shared::catalog::{
    Auth, Catalog, Credentials, ErrorShape, Limits, LiveWhen, MaxTokensField, Provider, Quirks, StreamUsage,
};

/// What is on the wire of one provider, in one line.
fn line(provider: &Provider) -> String {
    let auth = match &provider.auth {
        Auth::Bearer => "bearer".to_owned(),
        Auth::Header(name) => format!("header {name}"),
        Auth::None => "no key".to_owned(),
    };
    let mut line = format!(
        "{} | {} | {} | {auth} | {}",
        provider.name,
        provider.base_url,
        provider.dialect.as_str(),
        provider.key_env.join(" ")
    );
    if let Some(credentials) = &provider.credentials {
        let way = match credentials {
            Credentials::SigV4(of) => format!("sigv4 for {}", of.service),
            Credentials::ServiceAccount(of) => format!("service account for {}", of.scope),
        };
        line += &format!(" | or {way} by {}", credentials.variables().join(" "));
    }
    let Quirks {
        dropped_params,
        max_tokens_field,
        stream_options,
        stream_usage,
        error_shape,
        chat_path,
        call_ids,
        headers,
    } = &provider.quirks;
    let mut say = |text: String| {
        line.push_str(" | ");
        line.push_str(&text);
    };
    if provider.local {
        say(format!(
            "local by {}",
            provider.base_url_env.as_deref().unwrap_or("nothing")
        ));
    } else if let Some(variable) = &provider.base_url_env {
        say(format!("or at {variable}"));
    }
    if provider.unlisted_models {
        say("any model".to_owned());
    }
    if provider.by_id_only {
        say("by id only".to_owned());
    }
    if *max_tokens_field == MaxTokensField::MaxCompletionTokens {
        say("max_completion_tokens".to_owned());
    }
    if !stream_options {
        say("no stream_options".to_owned());
    }
    match stream_usage {
        StreamUsage::LastChunk => {}
        other => say(format!("usage {other:?}")),
    }
    match error_shape {
        ErrorShape::OpenAi => {}
        other => say(format!("error {other:?}")),
    }
    if let Some(path) = chat_path {
        say(format!("path {path}"));
    }
    if !call_ids {
        say("no ids of calls".to_owned());
    }
    for (name, value) in headers {
        say(format!("{name}: {value}"));
    }
    if !dropped_params.is_empty() {
        say(format!("without {}", dropped_params.join(" ")));
    }
    line
}

#[test]
fn each_is_as_it_was_looked_up() {
    let found: Vec<String> = Catalog::built_in()
        .providers()
        .iter()
        .map(|provider| line(provider))
        .collect();
    let expected: Vec<&str> = include_str!("providers.txt").lines().collect();
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
    assert!(found.len() >= 40, "{}", found.len());
}

#[test]
fn each_says_where_it_was_looked_up_and_when() {
    for provider in Catalog::built_in().providers() {
        let name = &provider.name;
        assert!(
            provider.source.starts_with("https://"),
            "{name}: {}",
            provider.source
        );
        assert_eq!(provider.verified.as_deref().map(str::len), Some(10), "{name}");
        assert!(!provider.title.is_empty(), "{name}");
    }
}

#[test]
fn none_is_live_unasked_and_none_is_held_back_by_guesses() {
    for provider in Catalog::built_in().providers() {
        let name = &provider.name;
        let expected = if provider.local {
            LiveWhen::BaseUrl
        } else {
            LiveWhen::Key
        };
        assert_eq!(provider.live_when, expected, "{name}");
        let keyed = !provider.key_env.is_empty() || provider.credentials.is_some();
        assert!(provider.local || keyed, "{name}");
        assert!(!provider.local || provider.base_url_env.is_some(), "{name}");
        assert_eq!(provider.limits, Limits::default(), "{name}");
        assert!(!provider.simulated, "{name}");
    }
}

#[test]
fn nothing_is_left_out_that_would_change_the_answer() {
    let meant = [
        "messages",
        "model",
        "n",
        "response_format",
        "stop",
        "tool_choice",
        "tools",
    ];
    for provider in Catalog::built_in().providers() {
        let dropped = &provider.quirks.dropped_params;
        assert!(dropped.is_sorted(), "{}", provider.name);
        for param in meant {
            assert!(
                !dropped.iter().any(|dropped| dropped == param),
                "{}: {param}",
                provider.name
            );
        }
    }
}
