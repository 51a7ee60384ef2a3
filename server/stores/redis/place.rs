//! Where keys and channels belong, as all nodes of a cluster have to agree.

/// Slots of a Redis Cluster.
pub const SLOTS: u16 = 16_384;

/// The shard of `shards` that a channel belongs to: jump consistent hash of its 64-bit FNV-1a.
///
/// Source: Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm".
pub fn shard_of(channel: &str, shards: usize) -> usize {
    if shards < 2 {
        return 0;
    }
    let mut key = fnv1a(channel.as_bytes());
    let (mut bucket, mut next) = (0_i64, 0_i64);
    while next < shards as i64 {
        bucket = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        next = ((bucket + 1) as f64 * ((1_i64 << 31) as f64 / ((key >> 33) + 1) as f64)) as i64;
    }
    bucket as usize
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The slot of a key or shard channel in Redis Cluster: what stands in the first braces, if anything, else all.
///
/// Source: Redis Cluster specification, "Key distribution model".
pub fn slot_of(key: &[u8]) -> u16 {
    let tag = memchr::memchr(b'{', key).and_then(|open| {
        let rest = &key[open + 1..];
        memchr::memchr(b'}', rest).filter(|length| *length > 0).map(|length| &rest[..length])
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| (crc << 8) ^ CRC[usize::from((crc >> 8) as u8 ^ *byte)])
}

const CRC: [u16; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut crc = (at as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot_of(b"foo"), 12_182);
        assert_eq!(slot_of(b"somekey"), 11_058);
        assert_eq!(slot_of(b"x.{foo}.y"), slot_of(b"foo"));
        assert_eq!(slot_of(b"x.{foo}.{bar}"), slot_of(b"foo"));
        assert_eq!(slot_of(b"{}foo"), crc16(b"{}foo") % SLOTS, "empty braces do not count");
        assert_eq!(slot_of(b"{foo"), crc16(b"{foo") % SLOTS);
    }

    #[test]
    fn hashes_are_those_of_the_published_algorithms() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn one_more_shard_moves_few_channels_and_all_of_them_to_it() {
        let channels: Vec<String> = (0..2000).map(|n| format!("channel-{n}")).collect();
        let mut moved = 0;
        for channel in &channels {
            let (before, after) = (shard_of(channel, 4), shard_of(channel, 5));
            assert!(after == before || after == 4, "{channel} moved from {before} to {after}");
            moved += usize::from(after != before);
        }
        assert!((250..550).contains(&moved), "{moved} of 2000 moved");
        assert_eq!(shard_of("any", 1), 0);
    }
}
