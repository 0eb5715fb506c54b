//! What a name stands for: the names to choose from, in order. The next is looked at only when the one before has nobody
//! left who can take the run.

use shared::catalog::{Catalog, Split};
use shared::domain::chat::AUTO_MODEL;

use super::draw::Draw;
use super::need::Need;

/// One name to choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link<'a> {
    /// Whatever answers to this name.
    Name(&'a str),
    /// Whatever is good enough for the task type.
    Auto,
}

impl<'a> Link<'a> {
    pub(super) const fn name(self) -> &'a str {
        match self {
            Self::Name(name) => name,
            Self::Auto => AUTO_MODEL,
        }
    }
}

/// The names a need stands for: its model's, then its fallbacks'. `auto` is `default` where there is one, else whatever
/// is good enough; no file can give it another meaning.
pub(super) fn links<'a>(
    catalog: &'a Catalog,
    need: &'a Need,
    default: Option<&'a str>,
    draw: &mut Draw,
) -> Vec<Link<'a>> {
    let mut links = Vec::with_capacity(1 + need.fallbacks.len());
    for name in std::iter::once(&need.model).chain(&need.fallbacks) {
        if name == AUTO_MODEL {
            match default {
                Some(default) if default != AUTO_MODEL => chained(catalog, default, draw, &mut links),
                _ => links.push(Link::Auto),
            }
        } else {
            chained(catalog, name, draw, &mut links);
        }
    }
    links
}

fn chained<'a>(catalog: &'a Catalog, name: &'a str, draw: &mut Draw, links: &mut Vec<Link<'a>>) {
    match catalog.chain(name) {
        // A link may be a split, not another chain: what goes round in a circle never ends.
        Some(chain) => chain
            .links
            .iter()
            .for_each(|link| split(catalog, link, draw, links)),
        None => split(catalog, name, draw, links),
    }
}

fn split<'a>(catalog: &'a Catalog, name: &'a str, draw: &mut Draw, links: &mut Vec<Link<'a>>) {
    match catalog.split(name) {
        Some(split) => drawn(split, draw, links),
        None => links.push(Link::Name(name)),
    }
}

/// The targets in the order in which they are drawn by weight: the first gets the run, the others stand in for it.
fn drawn<'a>(split: &'a Split, draw: &mut Draw, links: &mut Vec<Link<'a>>) {
    let mut left: Vec<_> = split.targets.iter().collect();
    while !left.is_empty() {
        let whole = left.iter().map(|target| u64::from(target.weight)).sum();
        let mut mark = draw.below(whole);
        let taken = left.iter().position(|target| {
            let weight = u64::from(target.weight);
            let here = mark < weight;
            mark = mark.saturating_sub(weight);
            here
        });
        links.push(Link::Name(&left.remove(taken.unwrap_or(0)).model));
    }
}
