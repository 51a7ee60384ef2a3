//! Lengths of time in Go notation.

use std::fmt;

use serde_json::Value;

use super::leaf_setting;
use crate::config::setting::Leaf;

/// A length of time, as the configuration writes it: `"300ms"`, `"1h30m"`, or a bare number of nanoseconds.
///
/// Units: nanoseconds, signed, since a negative length switches some clean-ups off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(i64);

const SECOND: i64 = 1_000_000_000;
const UNITS: [(&str, i64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3600 * SECOND),
];

impl Duration {
    /// A length of `nanos` nanoseconds.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// A length of `seconds` seconds; the longest representable one if that is too long.
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds.saturating_mul(SECOND))
    }

    /// Nanoseconds, signed.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// True if nothing was set.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// True for a length below zero.
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// True if the length has no part below a second.
    pub const fn is_whole_seconds(self) -> bool {
        self.0 % SECOND == 0
    }

    /// The length for timers; zero if negative.
    pub const fn to_std(self) -> std::time::Duration {
        if self.0 < 0 {
            std::time::Duration::ZERO
        } else {
            std::time::Duration::from_nanos(self.0.unsigned_abs())
        }
    }

    /// Reads Go notation.
    ///
    /// # Errors
    /// What was expected, when `text` is no such notation or does not fit into 64 bits of nanoseconds.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = || "expected a duration such as \"300ms\", \"25s\" or \"1h30m\"".to_owned();
        let (negative, mut rest) = match text.strip_prefix(['-', '+']) {
            Some(rest) => (text.starts_with('-'), rest),
            None => (false, text),
        };
        if rest == "0" {
            return Ok(Self(0));
        }
        let mut total: i128 = 0;
        if rest.is_empty() {
            return Err(expected());
        }
        while !rest.is_empty() {
            let number = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
            let (digits, tail) = rest.split_at(number);
            let unit = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(unit);
            let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(expected)?;
            total = total.checked_add(scaled(digits, *scale).ok_or_else(expected)?).ok_or_else(expected)?;
            rest = tail;
        }
        i64::try_from(if negative { -total } else { total }).map(Self).map_err(|_| expected())
    }
}

/// `digits`, which may hold one point, times `scale`.
fn scaled(digits: &str, scale: i64) -> Option<i128> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut nanos =
        if whole.is_empty() { 0 } else { i128::from(whole.parse::<i64>().ok()?) } * i128::from(scale);
    let mut place = i128::from(scale);
    for digit in fraction.chars() {
        place /= 10;
        nanos += i128::from(digit.to_digit(10)?) * place;
    }
    Some(nanos)
}

impl fmt::Display for Duration {
    /// Go's shortest notation, `25s`, `1h0m0s`, `1.5ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.0.unsigned_abs();
        if total == 0 {
            return f.write_str("0s");
        }
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let second = SECOND.unsigned_abs();
        let decimal = |value: u64, scale: u64| {
            let fraction = value % scale;
            if fraction == 0 {
                return (value / scale).to_string();
            }
            let width = scale.ilog10() as usize;
            let fraction = format!("{fraction:0width$}");
            format!("{}.{}", value / scale, fraction.trim_end_matches('0'))
        };
        match total {
            0..1_000 => write!(f, "{total}ns"),
            1_000..1_000_000 => write!(f, "{}µs", decimal(total, 1_000)),
            1_000_000..1_000_000_000 => write!(f, "{}ms", decimal(total, 1_000_000)),
            _ => {
                let (minutes, rest) = (total / (60 * second), total % (60 * second));
                if minutes >= 60 {
                    write!(f, "{}h", minutes / 60)?;
                }
                if minutes > 0 {
                    write!(f, "{}m", minutes % 60)?;
                }
                write!(f, "{}s", decimal(rest, second))
            }
        }
    }
}

leaf_setting!(Duration);

impl Leaf for Duration {
    fn type_name(&self) -> &'static str {
        "duration"
    }
    fn read(&mut self, value: &Value) -> Result<(), String> {
        match value {
            Value::String(text) => self.read_text(text),
            other => {
                let nanos = super::plain::integer_of(other).ok_or("expected a duration such as \"25s\"")?;
                *self = Self(nanos);
                Ok(())
            }
        }
    }
    fn read_text(&mut self, text: &str) -> Result<(), String> {
        *self = Self::parse(text)?;
        Ok(())
    }
    fn is_zero(&self) -> bool {
        self.0 == 0
    }
    fn write(&self) -> Value {
        self.to_string().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notation_survives_a_round_trip() {
        for text in ["0s", "1ns", "1.5µs", "300ms", "25s", "1m0s", "1h0m0s", "720h0m0s", "-1s", "1m1.5s"] {
            assert_eq!(Duration::parse(text).map(|d| d.to_string()), Ok(text.to_owned()));
        }
        assert_eq!(Duration::parse("1h30m").map(Duration::nanos), Ok(5400 * SECOND));
        assert_eq!(Duration::parse(".5s").map(Duration::nanos), Ok(SECOND / 2));
    }

    #[test]
    fn a_number_in_a_string_has_no_unit_and_is_refused() {
        for text in ["", "-1", "25", "s", "1x", "1s2", "1..5s", "9999999999h"] {
            assert!(Duration::parse(text).is_err(), "{text}");
        }
    }
}
