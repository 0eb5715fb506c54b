//! A file that says what cannot be is refused whole, and the person who wrote it is told where and why.

use shared::catalog::Catalog;

/// The text, the line that is blamed, and what the reason says.
const BAD: [(&str, usize, &str); 28] = [
    ("[providers.groq\n", 1, "unclosed table"),
    ("\n[provider.groq]\n", 2, "unknown field `provider`"),
    (
        "[providers.groq]\napi_key = 'sk-secret'\n",
        2,
        "unknown field `api_key`",
    ),
    ("[providers.groq]\nlocal = 'yes'\n", 2, "expected a boolean"),
    (
        "[providers.groq]\ntitle = 'x'\nbase_url = 'groq.com'\n",
        3,
        "must be an address",
    ),
    (
        "[providers.groq]\nbase_url = 'https://u:p@groq.com'\n",
        2,
        "without a query, a user",
    ),
    ("[providers.groq]\nbase_url = 'https://{HOST'\n", 2, "has no `}`"),
    (
        "[providers.groq]\nbase_url = 'https://{MY HOST}'\n",
        2,
        "not a variable's name",
    ),
    (
        "[providers.groq]\nkey_env = ['A', 'sk-0123']\n",
        2,
        "not a variable's name",
    ),
    (
        "[providers.groq]\nkey_env = [\n  'MCP_KEY']\n",
        3,
        "our own settings",
    ),
    (
        "[providers.groq]\nauth = { header = 'x y' }\n",
        2,
        "not the name of a header",
    ),
    (
        "[providers.bedrock.credentials]\nsigv4 = { service = 'bedrock', region_env = 'R' }\n",
        2,
        "missing field `access_key_id_env`",
    ),
    (
        "[providers.bedrock]\ncredentials = { sigv4 = { service = 'bedrock', region_env = 'R', \
         access_key_id_env = 'AKIA', secret_access_key_env = 'sk-secret' } }\n",
        2,
        "not a variable's name",
    ),
    (
        "[providers.bedrock]\ncredentials = { sigv4 = { service = 'Amazon Bedrock', region_env = 'R', \
         access_key_id_env = 'I', secret_access_key_env = 'S' } }\n",
        2,
        "not a service's name",
    ),
    ("[providers.groq]\nlimits = { rpm = 0 }\n", 2, "at least 1"),
    (
        "[providers.groq]\ndialect = 'grok'\n",
        2,
        "unknown variant `grok`",
    ),
    (
        "[providers.groq]\nquirks.chat_path = 'chat'\n",
        2,
        "begins with a slash",
    ),
    (
        "[providers.groq]\n\n[providers.new]\ntitle = 'x'\n",
        3,
        "needs a base_url",
    ),
    (
        "[providers.New]\nbase_url = 'http://x/v1'\n",
        1,
        "lower-case letters",
    ),
    (
        "[[models]]\nprovider = 'groq'\nname = 'm'\n[[models]]\nprovider = 'grok'\nname = 'm'\n",
        5,
        "no provider is named `grok`",
    ),
    (
        "[[models]]\nprovider = 'groq'\nname = 'm'\nquality = 6\n",
        4,
        "from 1 to 5",
    ),
    (
        "[[models]]\nprovider = 'groq'\nname = 'm'\nprices = { input = -1, output = 2 }\n",
        4,
        "not an amount",
    ),
    (
        "[[models]]\nprovider = 'groq'\nname = 'm'\nprices = { input = 1 }\n",
        4,
        "missing field `output`",
    ),
    (
        "[[models]]\nprovider = 'groq'\nname = 'm'\n\n[models.prices]\ninput = 1\noutput = 1\n\
         tiers = [{ above_input_tokens = 9, input = 1, output = 1 }, { above_input_tokens = 9, input = 1, output = 1 }]\n",
        5,
        "must go up",
    ),
    (
        "[aliases.fast]\ntargets = [\n  { model = 'gpt-4o' },\n  { model = 'gpt-99' },\n]\n",
        4,
        "no model is named `gpt-99`",
    ),
    (
        "[aliases.fast]\ntargets = [{ model = 'gpt-4o', weight = 0 }]\n",
        2,
        "at least 1",
    ),
    (
        "[aliases.x]\ntargets = [{ model = 'gpt-4o' }]\n[chains]\nX = ['gpt-4o']\n",
        1,
        "keep one",
    ),
    ("[chains]\nauto = ['gpt-4o']\n", 2, "choose another name"),
];

#[test]
fn the_line_and_the_reason_are_said() {
    let catalog = Catalog::built_in();
    for (text, line, reason) in BAD {
        let error = catalog.merge("my.toml", text).unwrap_err();
        assert_eq!(error.line, Some(line), "{text}\n{error}");
        assert!(error.reason.contains(reason), "{text}\n{error}");
        let shown = error.to_string();
        assert!(shown.starts_with(&format!("my.toml, line {line}: ")), "{shown}");
        assert!(!shown.contains('\n') && !shown.contains("sk-secret"), "{shown}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = Catalog::built_in()
        .merge_file(&folder.path().join("none.toml"))
        .unwrap_err();
    assert!(error.file.ends_with("none.toml") && error.line.is_none());
    assert!(
        error.to_string().contains("none.toml: cannot be read: "),
        "{error}"
    );

    let long = folder.path().join("long.toml");
    std::fs::write(&long, "#".repeat(4 * 1024 * 1024 + 1)).unwrap();
    let error = Catalog::built_in().merge_file(&long).unwrap_err();
    assert!(error.reason.contains("at most"), "{error}");
}
