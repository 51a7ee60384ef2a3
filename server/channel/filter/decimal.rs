//! Decimal numbers as tags hold them, compared digit by digit.

use std::cmp::Ordering;

/// Longest text that counts as a number, in bytes.
const MAX_LENGTH: usize = 200;

/// Most digits after the point.
const MAX_PLACES: usize = 19;

/// A number without digits that mean nothing, so that equal numbers are equal here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Decimal<Text> {
    negative: bool,
    /// Before the point, without zeros in front; empty for zero.
    whole: Text,
    /// After the point, without zeros at the end.
    places: Text,
}

impl<'a> Decimal<&'a str> {
    /// Reads `[+-]digits[.digits]`: both sides of a point have digits, there is no exponent and no space.
    ///
    /// Source: numbers the reference server accepts in tags, limits included.
    pub fn parse(text: &'a str) -> Option<Self> {
        if text.len() > MAX_LENGTH {
            return None;
        }
        let (negative, digits) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (whole, places) = match digits.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (digits, ""),
        };
        let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || places.len() > MAX_PLACES || !are_digits(whole) || !are_digits(places) {
            return None;
        }
        let (whole, places) = (whole.trim_start_matches('0'), places.trim_end_matches('0'));
        Some(Self { negative: negative && !(whole.is_empty() && places.is_empty()), whole, places })
    }

    /// Keeps the digits.
    pub fn into_owned(self) -> Decimal<Box<str>> {
        Decimal { negative: self.negative, whole: self.whole.into(), places: self.places.into() }
    }

    /// Orders two numbers by value.
    pub fn compare(&self, other: &Decimal<&str>) -> Ordering {
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.compare_size(other),
            (true, true) => other.compare_size(self),
        }
    }

    fn compare_size(&self, other: &Decimal<&str>) -> Ordering {
        // Without zeros in front, more digits are more; without zeros at the end, places order as text.
        let by_length = self.whole.len().cmp(&other.whole.len());
        by_length.then_with(|| self.whole.cmp(other.whole)).then_with(|| self.places.cmp(other.places))
    }
}

impl Decimal<Box<str>> {
    /// Lends the digits.
    pub fn as_borrowed(&self) -> Decimal<&str> {
        Decimal { negative: self.negative, whole: &self.whole, places: &self.places }
    }
}
