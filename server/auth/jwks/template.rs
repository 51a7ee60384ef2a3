//! The address of a key endpoint, parts of which may come from claims that nobody has verified yet.

use super::super::error::VerifierError;
use crate::channel::pattern;
use http::Uri;
use regex_syntax::ast::{Ast, GroupKind};
use std::borrow::Cow;

/// An address with `{{name}}` placeholders for named groups of the issuer and audience patterns.
pub(in crate::auth) struct UrlTemplate {
    parts: Vec<Part>,
    https: bool,
}

enum Part {
    Text(String),
    Placeholder { name: String, in_path: bool },
}

impl UrlTemplate {
    /// Reads an address; `patterns` are pairs of configuration key and pattern.
    ///
    /// # Errors
    /// `Endpoint` if it is no http or https address, `UnknownPlaceholder` if no pattern fills one.
    pub fn new(address: &str, patterns: &[(&'static str, &str)]) -> Result<Self, VerifierError> {
        let malformed = || VerifierError::Endpoint(address.to_owned());
        let https = address.starts_with("https://");
        if !https && !address.starts_with("http://") {
            return Err(malformed());
        }
        let mut parts = Vec::new();
        let mut rest = address;
        let mut before = String::new();
        while let Some((text, after)) = rest.split_once("{{") {
            let Some((name, after)) = after.split_once("}}") else { break };
            before.push_str(text);
            let in_path = before.splitn(4, '/').count() == 4;
            before.push('x');
            parts.push(Part::Text(text.to_owned()));
            parts.push(Part::Placeholder { name: name.to_owned(), in_path });
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        before.push_str(rest);
        let sample: Uri = before.parse().map_err(|_| malformed())?;
        if sample.host().is_none_or(str::is_empty) {
            return Err(malformed());
        }
        let template = Self { parts, https };
        for name in template.placeholders() {
            let filled = patterns.iter().any(|(_, pattern)| {
                pattern::compile(pattern)
                    .is_ok_and(|pattern| pattern.capture_names().flatten().any(|group| group == name))
            });
            if !filled {
                return Err(VerifierError::UnknownPlaceholder(name.to_owned()));
            }
        }
        Ok(template)
    }

    /// Checks that tokens can only choose among values that the configuration lists.
    ///
    /// Any token can name any issuer, so an open pattern such as `[a-z]+` would let it name the server
    /// that vouches for it.
    ///
    /// # Errors
    /// `OpenPattern` names the pattern.
    pub fn check_safety(&self, patterns: &[(&'static str, &str)]) -> Result<(), VerifierError> {
        if self.placeholders().next().is_none() {
            return Ok(());
        }
        for (key, pattern) in patterns.iter().filter(|(_, pattern)| !pattern.is_empty()) {
            let tree = pattern::parse(pattern).map_err(|source| VerifierError::Pattern { key, source })?;
            let closed = |name: &str| self.placeholders().all(|placeholder| placeholder != name);
            if has_class(&tree) || !groups_are_closed(&tree, &closed) {
                return Err(VerifierError::OpenPattern { key });
            }
        }
        Ok(())
    }

    /// Puts values in. Nothing if one is missing or would change more than its place in the address.
    pub fn fill<'v>(&self, value: impl Fn(&str) -> Option<&'v str>) -> Option<Cow<'_, str>> {
        if let [Part::Text(address)] = self.parts.as_slice() {
            return Some(Cow::Borrowed(address));
        }
        let mut address = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => address.push_str(text),
                Part::Placeholder { name, in_path } => {
                    address.push_str(value(name).filter(|value| stays_in_place(value, *in_path))?);
                }
            }
        }
        let uri: Uri = address.parse().ok()?;
        let mut segments = uri.path().split('/').skip(1).peekable();
        while let Some(segment) = segments.next() {
            let last = segments.peek().is_none();
            if segment == "." || segment == ".." || (segment.is_empty() && !last) {
                return None;
            }
        }
        Some(Cow::Owned(address))
    }

    /// Tells whether the address needs TLS.
    pub fn is_https(&self) -> bool {
        self.https
    }

    fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Placeholder { name, .. } => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }
}

/// A value may hold what names hold, and slashes only within the path.
fn stays_in_place(value: &str, in_path: bool) -> bool {
    let allowed = |byte: u8| {
        byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (in_path && b"/:+=,@".contains(&byte))
    };
    !value.is_empty() && value.bytes().all(allowed)
}

/// Finds any class, also the shorthand ones: `[…]`, `\d`, `\pL`.
fn has_class(tree: &Ast) -> bool {
    match tree {
        Ast::ClassUnicode(_) | Ast::ClassPerl(_) | Ast::ClassBracketed(_) => true,
        Ast::Repetition(repetition) => has_class(&repetition.ast),
        Ast::Group(group) => has_class(&group.ast),
        Ast::Alternation(alternation) => alternation.asts.iter().any(has_class),
        Ast::Concat(concat) => concat.asts.iter().any(has_class),
        Ast::Empty(_) | Ast::Flags(_) | Ast::Literal(_) | Ast::Dot(_) | Ast::Assertion(_) => false,
    }
}

/// Checks that each named group either is not used (`unused`) or matches only listed values.
fn groups_are_closed(tree: &Ast, unused: &dyn Fn(&str) -> bool) -> bool {
    match tree {
        Ast::Group(group) => {
            let used = match &group.kind {
                GroupKind::CaptureName { name, .. } => !unused(&name.name),
                GroupKind::CaptureIndex(_) | GroupKind::NonCapturing(_) => false,
            };
            (!used || is_listed(&group.ast)) && groups_are_closed(&group.ast, unused)
        }
        Ast::Repetition(repetition) => groups_are_closed(&repetition.ast, unused),
        Ast::Alternation(alternation) => alternation.asts.iter().all(|tree| groups_are_closed(tree, unused)),
        Ast::Concat(concat) => concat.asts.iter().all(|tree| groups_are_closed(tree, unused)),
        _ => true,
    }
}

/// Checks that a pattern matches a fixed set of texts.
fn is_listed(tree: &Ast) -> bool {
    match tree {
        Ast::Empty(_) | Ast::Flags(_) | Ast::Literal(_) => true,
        Ast::Group(group) => is_listed(&group.ast),
        Ast::Alternation(alternation) => alternation.asts.iter().all(is_listed),
        Ast::Concat(concat) => concat.asts.iter().all(is_listed),
        _ => false,
    }
}
