//! A model at a provider: its names, limits, prices and abilities.

use std::sync::Arc;

use serde::Deserialize;

use super::Prices;

/// One model as one provider offers it. The same open model at two providers is two of these, with a common alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Who offers it: a provider's name.
    pub provider: Arc<str>,
    /// The provider's name for it, as it goes out.
    pub name: Arc<str>,
    /// Other names it answers to, in lower case.
    pub aliases: Vec<Arc<str>>,
    /// Tokens of prompt and answer together, as far as the source tells them apart from `max_output`.
    pub context_window: Option<u32>,
    /// Tokens of an answer.
    pub max_output: Option<u32>,
    /// What it charges; none when not known.
    pub prices: Option<Prices>,
    /// What it can do.
    pub capabilities: Capabilities,
    /// How good it is thought to be; none when nothing tells.
    pub quality: Option<Quality>,
    /// Task types it is meant for (`code`, ...); empty means any.
    pub task_types: Vec<String>,
    /// Where its figures come from.
    pub origin: Origin,
}

impl Model {
    /// `provider/name`: names this model and no other.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/{}", self.provider, self.name)
    }
}

/// What a model can do. False is also what is said of what is not known: a run that needs it goes elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// Answers a conversation. Embedding models do not.
    pub chat: bool,
    /// Calls tools.
    pub tools: bool,
    /// Sees images.
    pub vision: bool,
    /// Keeps to a JSON schema (`response_format`).
    pub json_schema: bool,
    /// Reasons before it answers.
    pub reasoning: bool,
    /// Makes embeddings.
    pub embeddings: bool,
}

/// One capability, as files name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Capability {
    Chat,
    Tools,
    Vision,
    JsonSchema,
    Reasoning,
    Embeddings,
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<T: IntoIterator<Item = Capability>>(named: T) -> Self {
        let mut all = Self::default();
        for capability in named {
            *match capability {
                Capability::Chat => &mut all.chat,
                Capability::Tools => &mut all.tools,
                Capability::Vision => &mut all.vision,
                Capability::JsonSchema => &mut all.json_schema,
                Capability::Reasoning => &mut all.reasoning,
                Capability::Embeddings => &mut all.embeddings,
            } = true;
        }
        all
    }
}

/// How good a model is thought to be, 1 (least) to 5. An order, not a measure: see `docs/providers.md` for its rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "u8")]
pub struct Quality(u8);

impl Quality {
    /// The best there is.
    pub const MOST: Self = Self(5);

    /// From 1 to 5; none otherwise.
    #[must_use]
    pub const fn new(tier: u8) -> Option<Self> {
        if tier >= 1 && tier <= 5 {
            Some(Self(tier))
        } else {
            None
        }
    }

    /// From 1 to 5.
    #[must_use]
    pub const fn tier(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Quality {
    type Error = &'static str;

    fn try_from(tier: u8) -> Result<Self, Self::Error> {
        Self::new(tier).ok_or("a quality is a whole number from 1 to 5")
    }
}

/// Where figures come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The source, in words or as a URL.
    pub source: Arc<str>,
    /// The day of the figures, `YYYY-MM-DD`; none when the source has none.
    pub date: Option<Arc<str>>,
}
