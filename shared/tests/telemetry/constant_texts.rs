//! A line's text is a constant: what differs goes into fields. Reports of errors send texts and drop fields, so a text
//! that content was formatted into would leave with them.

use std::path::Path;

const LEVELS: [&str; 3] = ["error!(", "warn!(", "info!("];

/// The string literals of every log macro in a source, with the line each macro begins on.
fn texts(source: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in source.char_indices() {
        let rest = &source[at..];
        let Some(level) = LEVELS.iter().find(|level| rest.starts_with(**level)) else {
            continue;
        };
        // `compile_error!(` is another macro.
        if source[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let line = source[..at].lines().count();
        found.extend(
            literals(&rest[level.len()..])
                .into_iter()
                .map(|text| (line, text)),
        );
    }
    found
}

/// The string literals up to the parenthesis that closes.
fn literals(arguments: &str) -> Vec<String> {
    let (mut found, mut depth) = (Vec::new(), 1);
    let mut chars = arguments.chars();
    while let Some(c) = chars.next() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            '"' => {
                let mut text = String::new();
                while let Some(c) = chars.next().filter(|c| *c != '"') {
                    text.push(c);
                    if c == '\\' {
                        text.extend(chars.next());
                    }
                }
                found.push(text);
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    found
}

fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((
                path.display().to_string(),
                std::fs::read_to_string(&path).unwrap(),
            ));
        }
    }
}

#[test]
fn no_line_has_content_formatted_into_its_text() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut all = Vec::new();
    for member in ["api", "cli", "migrations", "shared", "simulator", "worker"] {
        sources(&root.join(member).join("src"), &mut all);
    }
    let mut lines = 0;
    for (path, source) in &all {
        for (line, text) in texts(source) {
            lines += 1;
            assert!(
                !text.contains('{'),
                "{path}:{line}: a field, not part of the text: {text}"
            );
        }
    }
    assert!(lines > 20, "only {lines} lines were found");
}

#[test]
fn a_formatted_text_is_found() {
    let source = "fn f() {\n    tracing::warn!(%error, n = count(\"a)\"), \"lost \\\"{prompt}\\\"\");\n}\ncompile_error!(\"{}\");";
    assert_eq!(
        texts(source),
        [(2, "a)".to_owned()), (2, "lost \\\"{prompt}\\\"".to_owned())]
    );
}
