//! Memory of a server process.

use crate::process::Process;

/// Bytes of a memory page.
const PAGE: u64 = 4096;

/// What a process holds in memory now, in bytes.
pub fn resident_bytes(process: &Process) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{}/statm", process.child.id())).unwrap_or_default();
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or_default();
    pages * PAGE
}

/// The most a process ever held, in bytes.
pub fn peak_bytes(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.child.id())).unwrap_or_default();
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB")?.trim().parse().ok());
    peak.map_or(0, |kilobytes: u64| kilobytes << 10)
}
