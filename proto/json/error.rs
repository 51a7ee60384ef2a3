//! What can be wrong with JSON text.

/// Says why and where a text is not the message it should be.
///
/// The sender is at fault; a retry with the same text cannot help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    kind: JsonErrorKind,
    offset: usize,
    field: Option<&'static str>,
}

/// The kinds of [`JsonError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonErrorKind {
    /// The text holds bytes that are not UTF-8.
    #[error("text is not valid utf-8")]
    InvalidUtf8,
    /// The text stops before its first value is complete.
    #[error("text ends too early")]
    UnexpectedEnd,
    /// No JSON value can go on with this byte.
    #[error("unexpected byte 0x{0:02x}")]
    UnexpectedByte(u8),
    /// A backslash in a string is followed by something JSON does not know.
    #[error("invalid escape sequence")]
    InvalidEscape,
    /// A number breaks the grammar of JSON, such as `01` or `1.`.
    #[error("invalid number")]
    InvalidNumber,
    /// The value is well formed but of another type than the field.
    #[error("value is not {0}")]
    WrongType(&'static str),
    /// The integer does not fit into the field.
    #[error("number does not fit into {0}")]
    OutOfRange(&'static str),
    /// The string is not standard padded base64.
    #[error("invalid base64")]
    InvalidBase64,
    /// Objects and arrays are nested deeper than is accepted.
    #[error("nesting is too deep")]
    TooDeep,
    /// Something follows the value where nothing may.
    #[error("unexpected data after the value")]
    TrailingData,
}

impl JsonError {
    pub(super) fn new(kind: JsonErrorKind, offset: usize) -> Self {
        Self { kind, offset, field: None }
    }

    /// Names the field; the innermost one, which is told first, stays.
    pub(super) fn in_field(mut self, field: &'static str) -> Self {
        self.field.get_or_insert(field);
        self
    }

    /// What is wrong.
    pub fn kind(&self) -> JsonErrorKind {
        self.kind
    }

    /// Where, in bytes from the start of the decoded text.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The innermost field that was being read, `None` outside of known fields.
    pub fn field(&self) -> Option<&'static str> {
        self.field
    }
}

impl std::fmt::Display for JsonError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} at byte {}", self.kind, self.offset)?;
        match self.field {
            Some(field) => write!(formatter, " in field {field}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for JsonError {}

/// Says that bytes which should be JSON text are not, so that the message around them has no
/// JSON form.
///
/// Happens to payloads that came in as binary. The receiver that speaks JSON is at fault for
/// the channel it chose; others are not concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("field {field} does not hold json")]
pub struct InvalidRaw {
    /// Name of the field with the bytes.
    pub field: &'static str,
}
