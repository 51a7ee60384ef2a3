//! Rebuilding a payload from the previous one and a delta.

use super::{DIGITS, checksum};

/// Why a delta could not be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeltaError {
    /// The delta ends in the middle of a command or without a checksum.
    #[error("delta ends early")]
    EndsEarly,
    /// A byte stands where none of this kind can.
    #[error("delta has byte {byte:#04x} at {position}, where it cannot be")]
    UnexpectedByte {
        /// The byte.
        byte: u8,
        /// Where it is, from the start of the delta.
        position: usize,
    },
    /// A number does not fit 32 bits.
    #[error("delta has a number too large at {position}")]
    NumberTooLarge {
        /// Where the number ends, from the start of the delta.
        position: usize,
    },
    /// The result would be larger than the caller allows.
    #[error("delta makes {size} bytes, more than {limit}")]
    TooLarge {
        /// Size the delta announces.
        size: usize,
        /// Size the caller allows.
        limit: usize,
    },
    /// A copy reaches beyond the previous payload: the delta belongs to another one.
    #[error("delta copies {count} bytes at {offset} from a payload of {size}")]
    CopyOutside {
        /// Bytes to copy.
        count: usize,
        /// Where they begin.
        offset: usize,
        /// Size of the previous payload.
        size: usize,
    },
    /// The commands make more or fewer bytes than announced.
    #[error("delta makes {actual} bytes and announces {announced}")]
    SizeDiffers {
        /// Bytes made, so far when they are too many.
        actual: usize,
        /// Bytes announced.
        announced: usize,
    },
    /// The result is not what the delta was made for: the delta belongs to another payload.
    #[error("delta has checksum {expected} and the result {actual}")]
    ChecksumDiffers {
        /// Sum of the result.
        actual: u32,
        /// Sum the delta announces.
        expected: u32,
    },
}

/// Rebuilds the payload that `delta` was made for.
///
/// Units: `limit` is the largest result in bytes; nothing larger is ever allocated.
///
/// # Errors
/// Any of [`DeltaError`] when the delta is damaged or was made for another previous payload: a retry
/// cannot help, the reader needs the full payload.
pub fn apply(previous: &[u8], delta: &[u8], limit: usize) -> Result<Vec<u8>, DeltaError> {
    let mut reader = Reader { delta, position: 0 };
    let announced = reader.number()? as usize;
    reader.expect(b'\n')?;
    if announced > limit {
        return Err(DeltaError::TooLarge { size: announced, limit });
    }
    let mut result = Vec::with_capacity(announced);
    loop {
        let number = reader.number()?;
        let count = number as usize;
        let fits = |made: usize| {
            let actual = made.saturating_add(count);
            if actual > announced { Err(DeltaError::SizeDiffers { actual, announced }) } else { Ok(()) }
        };
        match reader.byte()? {
            b'@' => {
                let offset = reader.number()? as usize;
                reader.expect(b',')?;
                fits(result.len())?;
                let outside = DeltaError::CopyOutside { count, offset, size: previous.len() };
                let end = offset.checked_add(count).ok_or(outside.clone())?;
                result.extend_from_slice(previous.get(offset..end).ok_or(outside)?);
            }
            b':' => {
                fits(result.len())?;
                result.extend_from_slice(reader.bytes(count)?);
            }
            b';' => {
                if result.len() != announced {
                    return Err(DeltaError::SizeDiffers { actual: result.len(), announced });
                }
                let actual = checksum(&result);
                if actual != number {
                    return Err(DeltaError::ChecksumDiffers { actual, expected: number });
                }
                return Ok(result);
            }
            byte => return Err(DeltaError::UnexpectedByte { byte, position: reader.position - 1 }),
        }
    }
}

struct Reader<'a> {
    delta: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Result<u8, DeltaError> {
        let byte = *self.delta.get(self.position).ok_or(DeltaError::EndsEarly)?;
        self.position += 1;
        Ok(byte)
    }

    fn expect(&mut self, expected: u8) -> Result<(), DeltaError> {
        match self.byte()? {
            byte if byte == expected => Ok(()),
            byte => Err(DeltaError::UnexpectedByte { byte, position: self.position - 1 }),
        }
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8], DeltaError> {
        let bytes = self.delta[self.position..].get(..count).ok_or(DeltaError::EndsEarly)?;
        self.position += count;
        Ok(bytes)
    }

    /// Reads digits up to the byte that is none; no digit at all is zero.
    fn number(&mut self) -> Result<u32, DeltaError> {
        let mut number: u32 = 0;
        while let Some(digit) = self.delta.get(self.position).and_then(|byte| value(*byte)) {
            if number >> 26 != 0 {
                return Err(DeltaError::NumberTooLarge { position: self.position });
            }
            number = number << 6 | u32::from(digit);
            self.position += 1;
        }
        Ok(number)
    }
}

/// The value of a digit.
fn value(byte: u8) -> Option<u8> {
    const NONE: u8 = u8::MAX;
    const VALUES: [u8; 256] = {
        let mut values = [NONE; 256];
        let mut value = 0;
        while value < DIGITS.len() {
            values[DIGITS[value] as usize] = value as u8;
            value += 1;
        }
        values
    };
    Some(VALUES[usize::from(byte)]).filter(|value| *value != NONE)
}
