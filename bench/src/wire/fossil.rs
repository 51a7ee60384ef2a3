//! Applies Fossil deltas, so that what a subscriber makes of them is checked like any other delivery.
//!
//! Source: <https://fossil-scm.org/home/doc/trunk/www/delta_format.wiki>.

use anyhow::{Context, Result, bail};

const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";
/// Longest result accepted.
const MAX_RESULT: u64 = 16 << 20;

/// Applies `delta` to `base`.
///
/// # Errors
/// When the delta is malformed, reaches outside of the base, or declares another length or checksum than it makes.
pub fn apply(base: &[u8], delta: &[u8]) -> Result<Vec<u8>> {
    let mut input = delta;
    let size = number(&mut input)?;
    separator(&mut input, b'\n')?;
    if size > MAX_RESULT {
        bail!("delta makes {size} bytes, more than {MAX_RESULT}");
    }
    let mut output = Vec::with_capacity(size as usize);
    loop {
        let count = number(&mut input)?;
        let (&command, rest) = input.split_first().context("delta ends without a checksum")?;
        input = rest;
        match command {
            b'@' => {
                let offset = number(&mut input)? as usize;
                separator(&mut input, b',')?;
                let range = base.get(offset..offset.saturating_add(count as usize));
                output.extend_from_slice(range.context("delta copies from outside of its base")?);
            }
            b':' => {
                let (literal, rest) =
                    input.split_at_checked(count as usize).context("delta inserts more than it has")?;
                output.extend_from_slice(literal);
                input = rest;
            }
            b';' if output.len() as u64 != size => {
                bail!("delta makes {} bytes and declares {size}", output.len())
            }
            b';' if u64::from(checksum(&output)) != count => {
                bail!("delta makes checksum {} and declares {count}", checksum(&output))
            }
            b';' => return Ok(output),
            other => bail!("unknown command {:?} in a delta", char::from(other)),
        }
        if output.len() as u64 > size {
            bail!("delta makes more than the {size} bytes it declares");
        }
    }
}

fn number(input: &mut &[u8]) -> Result<u64> {
    let mut value = 0u64;
    let mut length = 0;
    while let Some(digit) = input.get(length).and_then(|byte| DIGITS.iter().position(|digit| digit == byte)) {
        value = value.checked_mul(64).context("number of a delta is too large")? + digit as u64;
        length += 1;
    }
    if length == 0 {
        bail!("number expected in a delta");
    }
    *input = &input[length..];
    Ok(value)
}

fn separator(input: &mut &[u8], expected: u8) -> Result<()> {
    match input.split_first() {
        Some((&byte, rest)) if byte == expected => {
            *input = rest;
            Ok(())
        }
        _ => bail!("{:?} expected in a delta", char::from(expected)),
    }
}

/// Sum of the big-endian 32-bit words, the last one padded with zeros.
fn checksum(data: &[u8]) -> u32 {
    data.chunks(4).fold(0u32, |sum, chunk| {
        let mut word = [0u8; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        sum.wrapping_add(u32::from_be_bytes(word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &[u8] = b"abcdefgh";

    #[test]
    fn a_delta_copies_and_inserts() {
        // "abcd", then "XY", then "gh"; the sum of "abcd", "XYgh" is 0xb9bbcacc.
        let delta = b"8\n4@0,2:XY2@6,2ujxgC;";
        assert_eq!(checksum(b"abcdXYgh"), 0xb9bb_cacc);
        assert_eq!(apply(BASE, delta).expect("valid"), b"abcdXYgh");
    }

    #[test]
    fn a_delta_that_keeps_no_promise_is_refused() {
        let deltas: [&[u8]; 8] = [
            b"",
            b"8\n",
            b"8\n4@0,",
            b"8\n9@0,0;",
            b"8\n2:X",
            b"7\n4@0,2:XY2@6,2ujxgC;",
            b"8\n4@0,2:XY2@6,2ujxgD;",
            b"8\n4!",
        ];
        for delta in deltas {
            assert!(apply(BASE, delta).is_err(), "{:?}", String::from_utf8_lossy(delta));
        }
    }
}
