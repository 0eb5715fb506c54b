//! Reads Rust source as tokens, so that a rule sees what the compiler sees: a name in a comment or a string is not
//! an import, and `use crate::{ledger, watch::Stream}` is two. It knows nothing of any rule.
//!
//! Names are not resolved through re-exports and aliases: a rule sees the path as it is written, which is also what
//! a reader sees.

use std::ops::Deref;

use proc_macro2::{Delimiter, Group, Literal, Spacing, TokenStream, TokenTree};

/// Where in a file something was found.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Counted from 1.
    pub(crate) line: usize,
    /// The modules around it, from the crate's root: `["ledger", "sqlite"]`.
    pub(crate) module: Vec<String>,
    /// Inside an item under `#[cfg(test)]`.
    pub(crate) in_test: bool,
    /// Inside `#[...]`.
    pub(crate) in_attribute: bool,
}

/// Something found, and where.
#[derive(Debug)]
pub(crate) struct Found<T> {
    pub(crate) what: T,
    pub(crate) place: Place,
}

/// A path as it is written, `use` trees unfolded: `["crate", "ledger", "Ledger"]`. A single name is a path too.
pub(crate) type Path = Vec<String>;

/// What a file holds, in the order it is written.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) paths: Vec<Found<Path>>,
    /// Functions called in a statement of its own, `path(...);`: nobody keeps what they return.
    pub(crate) dropped: Vec<Found<Path>>,
    /// Names of the macros called, without their `!`.
    pub(crate) macros: Vec<Found<String>>,
    /// String, number and character literals, as they are written.
    pub(crate) literals: Vec<Found<String>>,
}

impl Scan {
    /// Scans the tokens of a file whose own module is `module`.
    pub(crate) fn of(tokens: TokenStream, module: Vec<String>, in_test: bool) -> Self {
        let mut scan = Self::default();
        scan.tokens(
            tokens,
            &Place {
                line: 0,
                module,
                in_test,
                in_attribute: false,
            },
        );
        scan
    }

    fn tokens(&mut self, tokens: TokenStream, around: &Place) {
        let trees: Vec<TokenTree> = tokens.into_iter().collect();
        // `#[cfg(test)]` holds for the item that follows: up to its body or its semicolon.
        let mut item = around.clone();
        let mut at = 0;
        while let Some(tree) = trees.get(at) {
            at += 1;
            match tree {
                TokenTree::Punct(punct) if punct.as_char() == '#' => {
                    let bang = usize::from(is_punct(trees.get(at), '!'));
                    if let Some(group) = group(trees.get(at + bang), Delimiter::Bracket) {
                        item.in_test |=
                            bang == 0 && group.stream().to_string().replace(' ', "") == "cfg(test)";
                        self.tokens(
                            group.stream(),
                            &Place {
                                in_attribute: true,
                                ..item.clone()
                            },
                        );
                        at += bang + 1;
                    }
                }
                TokenTree::Punct(punct) if punct.as_char() == ';' => item = around.clone(),
                TokenTree::Punct(_) => {}
                TokenTree::Literal(literal) => self.literal(literal, &item),
                TokenTree::Group(group) => {
                    self.tokens(group.stream(), &item);
                    if group.delimiter() == Delimiter::Brace {
                        item = around.clone();
                    }
                }
                TokenTree::Ident(word) if *word == "mod" => {
                    if let (Some(TokenTree::Ident(name)), Some(body)) =
                        (trees.get(at), group(trees.get(at + 1), Delimiter::Brace))
                    {
                        let mut inside = item.clone();
                        inside.module.push(name.to_string());
                        self.tokens(body.stream(), &inside);
                        item = around.clone();
                        at += 2;
                    }
                }
                TokenTree::Ident(_) => at = self.path(&trees, at - 1, &[], &item),
            }
        }
    }

    /// Takes the path that begins at `start`, a name, and returns the position after it.
    fn path(&mut self, trees: &[TokenTree], start: usize, prefix: &[String], around: &Place) -> usize {
        let mut path = prefix.to_vec();
        let mut at = start;
        while let Some(tree) = trees.get(at) {
            match tree {
                TokenTree::Ident(name) => path.push(name.to_string().trim_start_matches("r#").to_owned()),
                // The braces of a `use` tree: each branch is a path of its own.
                TokenTree::Group(group) if at > start && group.delimiter() == Delimiter::Brace => {
                    let branches: Vec<TokenTree> = group.stream().into_iter().collect();
                    for branch in branches.split(|tree| is_punct(Some(tree), ',')) {
                        self.path(branch, 0, &path, around);
                    }
                    return at + 1;
                }
                // `::*` and `::<T>`: the path is what came before.
                _ => break,
            }
            at += 1;
            if !is_double_colon(trees, at) {
                if is_punct(trees.get(at), '!') && !is_punct(trees.get(at + 1), '=') {
                    let place = Place {
                        line: line(&trees[start]),
                        ..around.clone()
                    };
                    self.macros.extend(path.last().map(|name| Found {
                        what: name.clone(),
                        place,
                    }));
                }
                break;
            }
            at += 2;
        }
        if let Some(first) = trees.get(start) {
            let place = Place {
                line: line(first),
                ..around.clone()
            };
            if starts_statement(trees, start)
                && group(trees.get(at), Delimiter::Parenthesis).is_some()
                && is_punct(trees.get(at + 1), ';')
            {
                self.dropped.push(Found {
                    what: path.clone(),
                    place: place.clone(),
                });
            }
            self.paths.push(Found { what: path, place });
        }
        at
    }

    fn literal(&mut self, literal: &Literal, around: &Place) {
        let place = Place {
            line: literal.span().start().line,
            ..around.clone()
        };
        self.literals.push(Found {
            what: literal.to_string(),
            place,
        });
    }
}

impl Found<Path> {
    /// The path from its crate's root, if it is written from `crate`, `self` or `super`.
    pub(crate) fn within_crate(&self) -> Option<Path> {
        let mut segments = self.what.iter().map(Deref::deref).peekable();
        let mut root = match *segments.peek()? {
            "crate" => Vec::new(),
            "self" | "super" => self.place.module.clone(),
            _ => return None,
        };
        while let Some(step @ ("crate" | "self" | "super")) = segments.peek().copied() {
            segments.next();
            if step == "super" {
                root.pop();
            }
        }
        root.extend(segments.map(str::to_owned));
        Some(root)
    }

    /// Whether the path has these segments in a row, anywhere.
    pub(crate) fn contains(&self, segments: &[&str]) -> bool {
        self.what.windows(segments.len()).any(|window| window == segments)
    }
}

fn line(tree: &TokenTree) -> usize {
    tree.span().start().line
}

fn is_punct(tree: Option<&TokenTree>, wanted: char) -> bool {
    matches!(tree, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

fn starts_statement(trees: &[TokenTree], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|before| trees.get(before));
    before.is_none() || is_punct(before, ';') || group(before, Delimiter::Brace).is_some()
}

fn is_double_colon(trees: &[TokenTree], at: usize) -> bool {
    matches!(trees.get(at), Some(TokenTree::Punct(p)) if p.as_char() == ':' && p.spacing() == Spacing::Joint)
        && is_punct(trees.get(at + 1), ':')
}

fn group(tree: Option<&TokenTree>, delimiter: Delimiter) -> Option<&Group> {
    match tree {
        Some(TokenTree::Group(group)) if group.delimiter() == delimiter => Some(group),
        _ => None,
    }
}
