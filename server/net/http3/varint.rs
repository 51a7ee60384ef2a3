//! Integers of variable length, as QUIC and HTTP/3 write them.
//!
//! Source: RFC 9000 §16.

/// Bytes of the longest one.
pub(super) const MAX: usize = 8;

/// Reads the integer at the beginning of `bytes`; answers it with what follows, none when it is not complete.
pub(super) fn read(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let first = *bytes.first()?;
    let length = length(first);
    let (own, rest) = bytes.split_at_checked(length)?;
    let value = own[1..].iter().fold(u64::from(first & 0x3f), |value, byte| value << 8 | u64::from(*byte));
    Some((value, rest))
}

/// Bytes of the integer whose first byte is `first`.
pub(super) fn length(first: u8) -> usize {
    1 << (first >> 6)
}

/// Appends an integer below 2^62 to `bytes`.
pub(super) fn write(value: u64, bytes: &mut Vec<u8>) {
    match value {
        0..0x40 => bytes.push(value as u8),
        0x40..0x4000 => bytes.extend_from_slice(&(value as u16 | 0x4000).to_be_bytes()),
        0x4000..0x4000_0000 => bytes.extend_from_slice(&(value as u32 | 0x8000_0000).to_be_bytes()),
        _ => bytes.extend_from_slice(&(value | 0xc000_0000_0000_0000).to_be_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for value in [0, 63, 64, 16_383, 16_384, (1 << 30) - 1, 1 << 30, (1 << 62) - 1] {
            let mut bytes = Vec::new();
            write(value, &mut bytes);
            assert_eq!(length(bytes[0]), bytes.len());
            assert_eq!(read(&bytes[..bytes.len() - 1]), None);
            bytes.push(7);
            assert_eq!(read(&bytes), Some((value, &[7][..])));
        }
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn examples_of_the_standard() {
        let read = |bytes: &[u8]| super::read(bytes).map(|(value, _)| value);
        assert_eq!(read(&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c]), Some(151_288_809_941_952_652));
        assert_eq!(read(&[0x9d, 0x7f, 0x3e, 0x7d]), Some(494_878_333));
        assert_eq!(read(&[0x7b, 0xbd]), Some(15_293));
        assert_eq!(read(&[0x40, 0x25]), Some(37));
    }
}
