//! `KEY=VALUE` arguments that become the fields of a JSON object.

use serde_json::{Map, Value};

/// `KEY=VALUE`: a value that is JSON is that JSON (`top_p=0.9`, `stop=["\n"]`), any other is a string.
pub(super) fn key_value(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or("expected KEY=VALUE, such as `top_p=0.9`")?;
    if key.is_empty() {
        return Err("the key before `=` is missing".to_owned());
    }
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((key.to_owned(), value))
}

/// An object of them; which key was given twice, if one was.
pub(super) fn object(pairs: Vec<(String, Value)>) -> Result<Map<String, Value>, String> {
    let mut object = Map::new();
    for (key, value) in pairs {
        if object.contains_key(&key) {
            return Err(key);
        }
        object.insert(key, value);
    }
    Ok(object)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_where_it_is_json() {
        for (text, value) in [
            ("k=7", json!(7)),
            ("k=true", json!(true)),
            ("k=hello", json!("hello")),
            ("k=\"7\"", json!("7")),
            ("k=[\"a\"]", json!(["a"])),
            ("k=a=b", json!("a=b")),
            ("k=", json!("")),
        ] {
            assert_eq!(key_value(text), Ok(("k".to_owned(), value)), "{text}");
        }
        assert!(key_value("k").is_err() && key_value("=v").is_err());
    }

    #[test]
    fn a_key_stands_once() {
        let pair = |key: &str| (key.to_owned(), json!(1));
        assert_eq!(object(vec![pair("a"), pair("b"), pair("a")]), Err("a".to_owned()));
        assert_eq!(object(vec![pair("a"), pair("b")]).unwrap().len(), 2);
    }
}
