//! What we tell peers about ourselves when a connection begins.
//!
//! h3 knows the setting of one version of WebTransport; browsers look for those of others, too.
//!
//! Source: RFC 9114 §7.2.4.1, RFC 9220 §3, RFC 9297 §2.1.1, draft-ietf-webtrans-http3 §3.1 and §5.5.

use super::varint;
use bytes::Bytes;

const CONTROL_STREAM: u64 = 0;
const SETTINGS_FRAME: u64 = 4;

const MAX_FIELD_SECTION_SIZE: u64 = 0x06;
const ENABLE_CONNECT_PROTOCOL: u64 = 0x08;
const H3_DATAGRAM: u64 = 0x33;

/// Say that sessions of WebTransport are possible, or how many: in version 02, in 07, in 13 and 14, and in 15.
const WEBTRANSPORT: [(u64, u64); 5] =
    [(0x2b60_3742, 1), (0xc671_706a, 16), (0x14e9_cd29, 16), (0x2c7c_f000, 1), (0x2b60_3743, 16)];
/// Streams and bytes that a session may have: no fewer than the connection.
const SESSION_LIMITS: [(u64, u64); 3] = [(0x2b64, 1 << 60), (0x2b65, 1 << 60), (0x2b61, 1 << 60)];

/// The beginning of our control stream.
pub(super) fn control_stream(webtransport: bool, max_field_section_size: u64) -> Bytes {
    let mut settings = Vec::new();
    let mut set = |id, value| {
        varint::write(id, &mut settings);
        varint::write(value, &mut settings);
    };
    set(MAX_FIELD_SECTION_SIZE, max_field_section_size);
    if webtransport {
        set(ENABLE_CONNECT_PROTOCOL, 1);
        set(H3_DATAGRAM, 1);
        WEBTRANSPORT.into_iter().chain(SESSION_LIMITS).for_each(|(id, value)| set(id, value));
    }
    let mut stream = Vec::new();
    varint::write(CONTROL_STREAM, &mut stream);
    varint::write(SETTINGS_FRAME, &mut stream);
    varint::write(settings.len() as u64, &mut stream);
    stream.extend_from_slice(&settings);
    stream.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_announced_only_where_they_are_possible() {
        assert_eq!(control_stream(false, 64)[..], [0, 4, 3, 6, 0x40, 64]);
        let with = control_stream(true, 64);
        assert_eq!(with[2] as usize & 0x3f, (with.len() - 4) >> 8);
        assert!(
            with.windows(3).any(|setting| setting == [ENABLE_CONNECT_PROTOCOL as u8, 1, H3_DATAGRAM as u8])
        );
    }
}
