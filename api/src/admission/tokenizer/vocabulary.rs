//! Which vocabulary a model reads with, told from its name.

use shared::catalog::Model;

/// A published vocabulary of OpenAI's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::admission) enum Vocabulary {
    /// `o200k_base`. Also `o200k_harmony`, which has the same words and more marks around them.
    O200k,
    /// `cl100k_base`.
    Cl100k,
}

/// Beginnings of names, by vocabulary: the table of OpenAI's `tiktoken` (`model.py`). It ends with GPT-5; what came
/// after is taken to read as GPT-5 does.
const FAMILIES: [(&str, Vocabulary); 14] = [
    ("gpt-3.5", Vocabulary::Cl100k),
    // As Azure spells it.
    ("gpt-35", Vocabulary::Cl100k),
    ("gpt-4", Vocabulary::Cl100k),
    ("gpt-4o", Vocabulary::O200k),
    ("gpt-4.1", Vocabulary::O200k),
    ("gpt-4.5", Vocabulary::O200k),
    ("gpt-5", Vocabulary::O200k),
    ("gpt-6", Vocabulary::O200k),
    ("gpt-chat", Vocabulary::O200k),
    ("gpt-oss", Vocabulary::O200k),
    ("chatgpt", Vocabulary::O200k),
    ("o1", Vocabulary::O200k),
    ("o3", Vocabulary::O200k),
    ("o4", Vocabulary::O200k),
];

/// What sellers and OpenAI itself put before a model's own name.
const BEFORE: [&str; 3] = ["openai.", "databricks-", "ft:"];

impl Vocabulary {
    /// Of a model, whoever sells it: by the seller's name for it, or else by another name it answers to, such as one that
    /// was given to a deployment. None for other makers' models.
    pub(in crate::admission) fn of(model: &Model) -> Option<Self> {
        let mut names = std::iter::once(&model.name).chain(&model.aliases);
        names.find_map(|name| Self::named(name))
    }

    fn named(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let mut bare = name.rsplit('/').next()?;
        for before in BEFORE {
            bare = match bare.split_once(before) {
                // A region may stand before the seller's mark: `us.openai.gpt-5`.
                Some((region, rest)) if region.is_empty() || region.ends_with('.') => rest,
                _ => bare,
            };
        }
        // `gpt-4.1` begins like `gpt-4`: the longest of what fits is meant.
        let fits = |(family, _): &&(&str, Self)| {
            let rest = bare.strip_prefix(family);
            rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_alphanumeric()))
        };
        let fitting = FAMILIES.iter().filter(fits);
        let (_, vocabulary) = fitting.max_by_key(|(family, _)| family.len())?;
        Some(*vocabulary)
    }
}

#[cfg(test)]
mod tests {
    use shared::catalog::Catalog;

    use super::*;

    #[test]
    fn a_name_tells_the_family_whoever_sells_it() {
        let o200k = "gpt-4o gpt-4o-2024-08-06 gpt-4.1-nano gpt-4.5-preview gpt-5 gpt-5.1 gpt-5-mini gpt-6-sol o1 o1-pro \
            o3-mini o4-mini chatgpt-4o-latest gpt-chat-latest gpt-oss-20b gpt-oss:20b openai/gpt-4o openai.gpt-oss-120b-1:0 \
            us.openai.gpt-5.6-sol @cf/openai/gpt-oss-120b accounts/fireworks/models/gpt-oss-20b databricks-gpt-5-1 \
            ft:gpt-4o-mini:some:one GPT-4o";
        for name in o200k.split_whitespace() {
            assert_eq!(Vocabulary::named(name), Some(Vocabulary::O200k), "{name}");
        }
        let cl100k = "gpt-4 gpt-4-0613 gpt-4-turbo gpt-4-32k gpt-3.5-turbo gpt-35-turbo openai/gpt-4 ft:gpt-3.5-turbo:x";
        for name in cl100k.split_whitespace() {
            assert_eq!(Vocabulary::named(name), Some(Vocabulary::Cl100k), "{name}");
        }
        let others = "claude-sonnet-4-5 llama-3.3-70b-versatile gemini-2.5-pro marco-o1 o3x gpt-2 gpt-j-6b gpt4all-j \
            openchat/openchat-7b text-embedding-3-small sim deepseek-r1 not-gpt-4o";
        for name in others.split_whitespace() {
            assert_eq!(Vocabulary::named(name), None, "{name}");
        }
    }

    #[test]
    fn a_deployment_is_known_by_its_other_name() {
        let file = "[providers.mine]\nbase_url = \"http://mine.example/v1\"\n\
                    [[models]]\nprovider = \"mine\"\nname = \"prod-7\"\naliases = [\"house-model\", \"gpt-4.1\"]\n";
        let catalog = Catalog::default().merge("example.toml", file).unwrap();
        let of = |name: &str| catalog.candidates(name).map(|model| Vocabulary::of(model)).next();
        assert_eq!(of("prod-7"), Some(Some(Vocabulary::O200k)));
    }

    /// A new family asks for a new line above.
    #[test]
    fn every_numbered_family_of_the_catalog_has_one() {
        let catalog = Catalog::built_in();
        let numbered = |name: &str| {
            let number = name.strip_prefix("gpt-").or_else(|| name.strip_prefix('o'));
            number.is_some_and(|number| number.starts_with(|digit: char| digit.is_ascii_digit()))
        };
        let models = catalog.models().iter();
        let theirs: Vec<_> = models
            .filter(|model| &*model.provider == "openai" && model.capabilities.chat && numbered(&model.name))
            .collect();
        assert!(theirs.len() > 20, "{}", theirs.len());
        for model in theirs {
            assert!(Vocabulary::of(model).is_some(), "{}", model.name);
        }
    }
}
