//! The document for people says what the data says, and its examples are taken.

use shared::catalog::{Catalog, Credentials};

const DOCUMENT: &str = include_str!("../../../docs/providers.md");

#[test]
fn the_table_has_every_provider_and_no_other() {
    let catalog = Catalog::built_in();
    let (_, rest) = DOCUMENT
        .split_once("<!-- providers: written by scripts/catalog --table -->\n")
        .unwrap();
    let (table, _) = rest.split_once("<!-- /providers -->").unwrap();
    let rows: Vec<&str> = table.lines().skip(2).collect();
    assert_eq!(
        rows.len(),
        catalog.providers().len(),
        "run scripts/catalog --table"
    );
    for (row, provider) in rows.iter().zip(catalog.providers()) {
        let live = match &provider.base_url_env {
            Some(variable) if provider.local => std::slice::from_ref(variable),
            _ => provider.key_env.as_slice(),
        };
        let quoted = |variable: &dyn std::fmt::Display| format!("`{variable}`");
        let live: Vec<String> = live.iter().map(|variable| quoted(variable)).collect();
        let credentials = provider.credentials.iter();
        let credentials: Vec<String> = credentials
            .flat_map(Credentials::required)
            .map(|variable| quoted(&variable))
            .collect();
        let ways = [live.join(", "), credentials.join(" and ")];
        let ways: Vec<&str> = ways
            .iter()
            .map(String::as_str)
            .filter(|way| !way.is_empty())
            .collect();
        let expected = format!(
            "| `{}` | [{}]({}) | {} | `{}` | {} |",
            provider.name,
            provider.title,
            provider.source,
            provider.dialect.as_str(),
            provider.base_url,
            ways.join(", or ")
        );
        assert_eq!(*row, expected, "run scripts/catalog --table");
    }
}

#[test]
fn its_examples_are_taken() {
    let examples: Vec<&str> = DOCUMENT
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(examples.len() >= 3, "{}", examples.len());
    for example in examples {
        if let Err(error) = Catalog::built_in().merge("docs/providers.md", example) {
            panic!("{error}\n{example}");
        }
    }
}
