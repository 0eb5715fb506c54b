//! Who is live: nobody unasked, and each with the address and keys that the environment gives.

use secrecy::ExposeSecret;
use shared::catalog::{Absence, Catalog, LiveCredentials, LiveProvider};

use super::{live, variables, with};

fn only(catalog: &Catalog, values: &[(&str, &str)]) -> LiveProvider {
    let mut found = catalog.liveness(&variables(values));
    assert_eq!(found.live.len(), 1, "{:?}", live(&found));
    found.live.remove(0)
}

fn absence(catalog: &Catalog, values: &[(&str, &str)], name: &str) -> Absence {
    let found = catalog.liveness(&variables(values));
    let absent = found.absent.into_iter().find(|absent| &*absent.provider == name);
    absent.unwrap_or_else(|| panic!("{name} is live")).why
}

#[test]
fn without_keys_nobody_is() {
    let catalog = Catalog::built_in();
    let found = catalog.liveness(&variables(&[("PATH", "/bin")]));
    assert!(found.live.is_empty());
    assert_eq!(found.absent.len(), catalog.providers().len());
    for absent in &found.absent {
        let expected = matches!(absent.why, Absence::NoKey { .. } | Absence::NotAskedFor(_));
        assert!(expected, "{}: {}", absent.provider, absent.why);
    }
}

#[test]
fn keys_take_turns_and_the_first_variable_counts() {
    let catalog = Catalog::built_in();
    let groq = only(&catalog, &[("GROQ_API_KEY", " one, two ,,three")]);
    let keys: Vec<&str> = groq.keys.iter().map(ExposeSecret::expose_secret).collect();
    assert_eq!(keys, ["one", "two", "three"]);
    assert_eq!(groq.base_url, "https://api.groq.com/openai/v1");
    let gemini = only(&catalog, &[("GOOGLE_API_KEY", "b"), ("GEMINI_API_KEY", "a")]);
    assert_eq!(gemini.key_env.as_deref(), Some("GEMINI_API_KEY"));
    assert_eq!(gemini.keys[0].expose_secret(), "a");
    // A variable with nothing in it holds no key.
    let google = only(&catalog, &[("GOOGLE_API_KEY", "b"), ("GEMINI_API_KEY", " , ")]);
    assert_eq!(google.key_env.as_deref(), Some("GOOGLE_API_KEY"));
    assert!(!format!("{groq:?}").contains("three"), "keys are not shown");
}

#[test]
fn local_ones_are_live_where_somebody_says_so() {
    let catalog = Catalog::built_in();
    let ollama = only(&catalog, &[("OLLAMA_BASE_URL", "http://gpu:11434/v1/")]);
    assert_eq!(
        (ollama.base_url.as_str(), ollama.keys.len()),
        ("http://gpu:11434/v1", 0)
    );
    assert_eq!(
        absence(&catalog, &[("OLLAMA_API_KEY", "k")], "ollama"),
        Absence::NotAskedFor("OLLAMA_BASE_URL".to_owned())
    );
    let named = only(&with("[providers.ollama]"), &[]);
    assert_eq!(named.base_url, "http://localhost:11434/v1");
    let keyed = only(&with("[providers.vllm]"), &[("VLLM_API_KEY", "k")]);
    assert_eq!(keyed.keys.len(), 1);
}

#[test]
fn placeholders_are_filled_or_said_to_be_missing() {
    let catalog = Catalog::built_in();
    let cloudflare = only(
        &catalog,
        &[("CLOUDFLARE_API_KEY", "k"), ("CLOUDFLARE_ACCOUNT_ID", "abc")],
    );
    assert_eq!(
        cloudflare.base_url,
        "https://api.cloudflare.com/client/v4/accounts/abc/ai/v1"
    );
    let databricks = only(
        &catalog,
        &[
            ("DATABRICKS_TOKEN", "k"),
            ("DATABRICKS_HOST", "https://x.cloud.databricks.com/"),
        ],
    );
    assert_eq!(
        databricks.base_url,
        "https://x.cloud.databricks.com/serving-endpoints"
    );
    assert_eq!(
        absence(&catalog, &[("AWS_BEARER_TOKEN_BEDROCK", "k")], "bedrock"),
        Absence::NoSetting("AWS_REGION".to_owned())
    );
    let odd = [
        ("DATABRICKS_TOKEN", "k"),
        ("DATABRICKS_HOST", "https://u:hunter2@x"),
    ];
    let why = absence(&catalog, &odd, "databricks");
    assert_eq!(why, Absence::BadAddress("DATABRICKS_HOST".to_owned()));
    assert!(!why.to_string().contains("hunter2"));
    let azure = only(
        &catalog,
        &[
            ("AZURE_API_KEY", "k"),
            ("AZURE_OPENAI_ENDPOINT", "https://mine.openai.azure.com/"),
        ],
    );
    assert_eq!(azure.base_url, "https://mine.openai.azure.com");
}

#[test]
fn credentials_stand_in_for_a_key() {
    let catalog = Catalog::built_in();
    let all = [
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", " hunter2 "),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_SESSION_TOKEN", "hunter3"),
    ];
    let signed = only(&catalog, &all);
    assert_eq!(
        (signed.key_count(), signed.key_env.as_deref()),
        (1, Some("AWS_ACCESS_KEY_ID"))
    );
    assert_eq!(
        signed.base_url,
        "https://bedrock-runtime.eu-central-1.amazonaws.com"
    );
    let shown = format!("{signed:?}");
    assert!(
        !shown.contains("hunter") && !shown.contains("AKIDEXAMPLE"),
        "{shown}"
    );
    let Some(LiveCredentials::SigV4(key)) = &signed.credentials else {
        panic!("{signed:?}");
    };
    assert_eq!(
        (key.service.as_str(), key.region.as_str()),
        ("bedrock", "eu-central-1")
    );
    let secrets: Vec<&str> = signed
        .credentials
        .iter()
        .flat_map(LiveCredentials::secrets)
        .map(ExposeSecret::expose_secret)
        .collect();
    assert_eq!(secrets, ["AKIDEXAMPLE", "hunter2", "hunter3"]);
    let lasting = only(&catalog, &all[..3]);
    assert_eq!(
        lasting
            .credentials
            .iter()
            .flat_map(LiveCredentials::secrets)
            .count(),
        2
    );

    // A key comes first.
    let mut both = all.to_vec();
    both.push(("AWS_BEARER_TOKEN_BEDROCK", "b"));
    let keyed = only(&catalog, &both);
    assert!(keyed.credentials.is_none(), "{keyed:?}");
    assert_eq!(
        (keyed.key_count(), keyed.key_env.as_deref()),
        (1, Some("AWS_BEARER_TOKEN_BEDROCK"))
    );
}

#[test]
fn what_is_missing_of_credentials_is_said() {
    let catalog = Catalog::built_in();
    let why = |values: &[(&str, &str)]| absence(&catalog, values, "bedrock").to_string();
    let region = ("AWS_REGION", "eu-central-1");
    assert_eq!(
        why(&[region]),
        "no key: set AWS_BEARER_TOKEN_BEDROCK, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    );
    assert_eq!(
        why(&[region, ("AWS_ACCESS_KEY_ID", "a")]),
        "no key: set AWS_BEARER_TOKEN_BEDROCK, or AWS_SECRET_ACCESS_KEY"
    );
    let key = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];
    assert_eq!(why(&key), "a setting is missing: set AWS_REGION");
    assert_eq!(
        absence(&catalog, &[], "gemini").to_string(),
        "no key: set GEMINI_API_KEY or GOOGLE_API_KEY"
    );
}

#[test]
fn a_file_can_say_what_stands_in_for_a_key() {
    let text = "[providers.second]\nbase_url = 'https://vpce-1.example.com'\ndialect = 'bedrock'\n\
        [providers.second.credentials.sigv4]\nservice = 'bedrock'\nregion_env = 'SECOND_REGION'\n\
        access_key_id_env = 'SECOND_ID'\nsecret_access_key_env = 'SECOND_SECRET'";
    let catalog = with(text);
    let id = ("SECOND_ID", "a");
    assert_eq!(
        absence(&catalog, &[id], "second").to_string(),
        "no key: set SECOND_SECRET"
    );
    let secret = ("SECOND_SECRET", "b");
    assert_eq!(
        absence(&catalog, &[id, secret], "second"),
        Absence::NoSetting("SECOND_REGION".to_owned())
    );
    let found = only(&catalog, &[id, secret, ("SECOND_REGION", "r")]);
    assert_eq!(found.key_env.as_deref(), Some("SECOND_ID"));
}

#[test]
fn a_provider_can_be_switched_off_and_on() {
    let off = with("[providers.groq]\nenabled = false");
    assert_eq!(
        absence(&off, &[("GROQ_API_KEY", "k")], "groq"),
        Absence::SwitchedOff
    );
    let still = off.merge("more.toml", "[providers.groq]\ntitle = 'G'").unwrap();
    assert_eq!(
        absence(&still, &[("GROQ_API_KEY", "k")], "groq"),
        Absence::SwitchedOff
    );
    let on = still
        .merge("more.toml", "[providers.groq]\nenabled = true")
        .unwrap();
    assert_eq!(&*only(&on, &[("GROQ_API_KEY", "k")]).provider.name, "groq");
}
