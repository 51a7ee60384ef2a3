//! Tables of responses of the unidirectional transports.

use super::Checked;
use crate::config::{Config, ResponseTransform};

pub(super) fn check(config: &Config) -> Checked {
    for (transport, table) in [
        ("uni_sse", &config.uni_sse.connect_code_to_http_response),
        ("uni_http_stream", &config.uni_http_stream.connect_code_to_http_response),
    ] {
        transforms(&table.transforms)
            .map_err(|reason| format!("in {transport}.connect_code_to_http_status.transforms: {reason}"))?;
    }
    Ok(())
}

fn transforms(table: &[ResponseTransform]) -> Checked {
    for (index, transform) in table.iter().enumerate() {
        let item = format!("connect_code_to_http_status.transforms[{index}]");
        if transform.code == 0 {
            return Err(format!("code should be set in {item}"));
        }
        if transform.to.status_code == 0 {
            return Err(format!("status_code should be set in {item}.to_response"));
        }
        if !(200..=999).contains(&transform.to.status_code) {
            let status = transform.to.status_code;
            return Err(format!("status_code {status} does not end a response in {item}.to_response"));
        }
    }
    Ok(())
}
