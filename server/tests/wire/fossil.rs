//! Applies Fossil deltas, so that scenarios check what a patch produces and not how it is written.
//!
//! Source: <https://fossil-scm.org/home/doc/trunk/www/delta_format.wiki>.

const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";

/// Applies `delta` to `base`, checking the length and the checksum the delta declares.
pub fn apply(base: &[u8], delta: &[u8]) -> Result<Vec<u8>, String> {
    let mut input = delta;
    let size = number(&mut input)?;
    separator(&mut input, b'\n')?;
    let mut output = Vec::new();
    loop {
        let count = number(&mut input)?;
        let Some((&command, rest)) = input.split_first() else {
            return Err("delta ends without a checksum".into());
        };
        input = rest;
        match command {
            b'@' => {
                let offset = number(&mut input)? as usize;
                separator(&mut input, b',')?;
                let range = base.get(offset..offset.saturating_add(count as usize));
                output.extend_from_slice(range.ok_or("copy outside of the base")?);
            }
            b':' => {
                let literal = input.get(..count as usize).ok_or("insert longer than the delta")?;
                output.extend_from_slice(literal);
                input = &input[count as usize..];
            }
            b';' => {
                if output.len() != size as usize {
                    return Err(format!("result has {} bytes, declared {size}", output.len()));
                }
                if checksum(&output) != count as u32 {
                    return Err(format!("checksum {} declared {count}", checksum(&output)));
                }
                return Ok(output);
            }
            other => return Err(format!("unknown delta command {:?}", char::from(other))),
        }
    }
}

fn number(input: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0u64;
    let mut length = 0;
    while let Some(digit) = input.get(length).and_then(|byte| DIGITS.iter().position(|digit| digit == byte)) {
        value = value.checked_mul(64).ok_or("number too large")? + digit as u64;
        length += 1;
    }
    if length == 0 {
        return Err("number expected".into());
    }
    *input = &input[length..];
    Ok(value)
}

fn separator(input: &mut &[u8], expected: u8) -> Result<(), String> {
    match input.split_first() {
        Some((&byte, rest)) if byte == expected => {
            *input = rest;
            Ok(())
        }
        _ => Err(format!("{:?} expected", char::from(expected))),
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
