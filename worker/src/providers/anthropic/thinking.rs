//! `reasoning_effort`: how much a model thinks before it answers.
//!
//! From Claude 4.6 on a model decides itself, guided by an effort; before, it gets a budget of tokens out of those it
//! may generate. It does not think where it cannot: when it must call a tool, when its answer has begun, when there is
//! no room for the smallest budget, or when it goes on from calls whose thinking is not there to be sent back. The
//! effort is a wish, those are not. Source: "Thinking" and "Effort" in Anthropic's documentation.

use serde_json::{Value, json};

use super::generation::Generation;
use crate::providers::canonical::{Effort, Params};
use crate::providers::wire::Fault;

/// The smallest budget Anthropic takes.
const LEAST_BUDGET: u64 = 1024;

/// What a request says of thinking.
#[derive(Debug, Default, PartialEq)]
pub(in crate::providers) struct Thinking {
    /// `thinking`.
    pub(in crate::providers) setting: Option<Value>,
    /// `output_config.effort`.
    pub(in crate::providers) effort: Option<&'static str>,
}

/// What thinking depends on.
#[derive(Debug, Clone, Copy)]
pub(in crate::providers) struct Circumstances {
    pub(in crate::providers) generation: Generation,
    /// The most tokens the answer may have, thinking included.
    pub(in crate::providers) limit: u64,
    /// It must call a tool.
    pub(in crate::providers) forced: bool,
    /// The answer has begun, or goes on from calls without their thinking.
    pub(in crate::providers) without_room: bool,
}

impl Thinking {
    /// By the parameters: Anthropic's own `thinking` as it is, else OpenAI's effort.
    pub(in crate::providers) fn of(params: &Params<'_>, at: Circumstances) -> Result<Self, Fault> {
        if let Some(setting) = params.get("thinking") {
            return Ok(Self {
                setting: Some(setting.clone()),
                effort: None,
            });
        }
        let effort = params.effort()?;
        Ok(if at.generation.adapts() {
            Self::adaptive(effort, at)
        } else {
            Self::by_budget(effort, at)
        })
    }

    /// Whether the model is told to think: then it takes no sampling.
    pub(in crate::providers) fn is_on(&self) -> bool {
        self.setting
            .as_ref()
            .is_some_and(|setting| setting["type"] != "disabled")
    }

    fn adaptive(effort: Option<Effort>, at: Circumstances) -> Self {
        let off = at
            .generation
            .may_stop_thinking()
            .then(|| json!({"type": "disabled"}));
        let level = effort.map(|effort| match effort {
            Effort::None | Effort::Minimal | Effort::Low => "low",
            Effort::Medium => "medium",
            Effort::XHigh if at.generation.knows_xhigh() => "xhigh",
            Effort::High | Effort::XHigh => "high",
            Effort::Max => "max",
        });
        match effort {
            Some(Effort::None) if off.is_some() => Self {
                setting: off,
                effort: None,
            },
            // The newest think unless told not to.
            _ if at.forced => Self {
                setting: off,
                effort: level,
            },
            None | Some(Effort::None) => Self {
                setting: None,
                effort: level,
            },
            Some(_) => Self {
                // Left unsaid, the newest keep the text of their thinking to themselves.
                setting: Some(json!({"type": "adaptive", "display": "summarized"})),
                effort: level,
            },
        }
    }

    fn by_budget(effort: Option<Effort>, at: Circumstances) -> Self {
        let able = at.generation.thinks_by_budget() && !at.forced && !at.without_room;
        let budget = effort
            .filter(|effort| able && *effort != Effort::None)
            .map(|effort| effort.budget(at.limit).max(LEAST_BUDGET))
            .filter(|budget| *budget < at.limit);
        Self {
            setting: budget.map(|budget| json!({"type": "enabled", "budget_tokens": budget})),
            effort: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thinking(model: &str, params: Value, change: impl FnOnce(&mut Circumstances)) -> Thinking {
        let Value::Object(params) = params else {
            panic!("an object")
        };
        let mut at = Circumstances {
            generation: Generation::of(model),
            limit: 10_000,
            forced: false,
            without_room: false,
        };
        change(&mut at);
        Thinking::of(&Params::new(&params), at).unwrap()
    }

    fn effort(effort: &str) -> Value {
        json!({"reasoning_effort": effort})
    }

    #[test]
    fn older_models_get_a_budget() {
        let setting = |level: &str, change: fn(&mut Circumstances)| {
            let thinking = thinking("claude-sonnet-4-5", effort(level), change);
            assert_eq!(thinking.effort, None);
            thinking.setting
        };
        let budget = |tokens: u64| Some(json!({"type": "enabled", "budget_tokens": tokens}));
        assert_eq!(setting("medium", |_| {}), budget(5_000));
        assert_eq!(setting("minimal", |_| {}), budget(1_024));
        assert_eq!(setting("low", |at| at.limit = 1_024), None);
        assert_eq!(setting("none", |_| {}), None);
        assert_eq!(setting("high", |at| at.forced = true), None);
        assert_eq!(setting("high", |at| at.without_room = true), None);
        assert_eq!(
            thinking("claude-3-5-haiku", effort("high"), |_| {}),
            Thinking::default()
        );
        assert_eq!(
            thinking("claude-sonnet-4-5", json!({}), |_| {}),
            Thinking::default()
        );
    }

    #[test]
    fn newer_models_get_an_effort() {
        let both = |model: &str, params: Value, forced: bool| {
            let thinking = thinking(model, params, |at| at.forced = forced);
            let kind = thinking
                .setting
                .as_ref()
                .map(|setting| setting["type"].as_str().unwrap().to_owned());
            (kind, thinking.effort)
        };
        let adaptive = || Some("adaptive".to_owned());
        let disabled = || Some("disabled".to_owned());
        assert_eq!(
            both("claude-opus-4-6", effort("minimal"), false),
            (adaptive(), Some("low"))
        );
        assert_eq!(
            both("claude-opus-4-6", effort("xhigh"), false),
            (adaptive(), Some("high"))
        );
        assert_eq!(
            both("claude-opus-4-7", effort("xhigh"), false),
            (adaptive(), Some("xhigh"))
        );
        assert_eq!(both("claude-opus-5", effort("none"), false), (disabled(), None));
        assert_eq!(
            both("claude-opus-5", effort("high"), true),
            (disabled(), Some("high"))
        );
        assert_eq!(both("claude-opus-5", json!({}), true), (disabled(), None));
        assert_eq!(both("claude-opus-5", json!({}), false), (None, None));
        assert_eq!(both("claude-fable-5", effort("none"), false), (None, Some("low")));
        assert_eq!(both("claude-fable-5", effort("high"), true), (None, Some("high")));
    }

    #[test]
    fn anthropics_own_words_are_left_alone() {
        let own = json!({"type": "enabled", "budget_tokens": 2000});
        let thinking = thinking(
            "claude-opus-5",
            json!({"thinking": own, "reasoning_effort": "low"}),
            |_| {},
        );
        assert!(thinking.is_on());
        assert_eq!((thinking.setting, thinking.effort), (Some(own), None));
    }
}
