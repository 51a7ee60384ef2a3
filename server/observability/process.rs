//! What the operating system says about this process, under the usual Prometheus names.

use super::exposition::Collector;
use std::fs;

/// Adds process metrics; those the system does not tell are left out.
pub(super) fn expose(out: &mut dyn Collector) {
    if let Some(stat) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(Stat::parse) {
        out.counter(
            "process_cpu_seconds_total",
            "User and system time spent, in seconds.",
            &[],
            stat.cpu_seconds,
        );
        if let Some(booted) = fs::read_to_string("/proc/stat").ok().as_deref().and_then(boot_time) {
            out.gauge(
                "process_start_time_seconds",
                "Start of the process, in seconds since 1970.",
                &[],
                booted + stat.started_after_boot,
            );
        }
    }
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        for (field, name, help) in [
            ("VmSize:", "process_virtual_memory_bytes", "Virtual memory."),
            ("VmRSS:", "process_resident_memory_bytes", "Resident memory."),
        ] {
            if let Some(kilobytes) = memory(&status, field) {
                out.gauge(name, help, &[], kilobytes * 1024.0);
            }
        }
    }
    if let Ok(descriptors) = fs::read_dir("/proc/self/fd") {
        out.gauge("process_open_fds", "Open file descriptors.", &[], descriptors.count() as f64);
    }
    if let Some(limit) = fs::read_to_string("/proc/self/limits").ok().as_deref().and_then(descriptor_limit) {
        out.gauge("process_max_fds", "Most file descriptors the process may open.", &[], limit);
    }
}

/// Fields of `/proc/self/stat`, proc(5).
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    started_after_boot: f64,
}

/// Ticks per second (`USER_HZ`), which is part of the Linux ABI.
const TICKS: f64 = 100.0;

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The second field is the program's name in parentheses and may hold blanks.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        Some(Self { cpu_seconds: (field(14)? + field(15)?) / TICKS, started_after_boot: field(22)? / TICKS })
    }
}

/// Reads a field of `/proc/self/status` that is given in kilobytes.
fn memory(status: &str, field: &str) -> Option<f64> {
    let value = status.lines().find_map(|line| line.strip_prefix(field))?;
    value.split_whitespace().next()?.parse().ok()
}

fn boot_time(stat: &str) -> Option<f64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn descriptor_limit(limits: &str) -> Option<f64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_past_a_name_with_blanks() {
        let text = "42 (a) b) S 1 1 1 0 -1 4194560 9 0 0 0 250 50 0 0 20 0 3 0 1000 8192 2 1844";
        let stat = Stat { cpu_seconds: 3.0, started_after_boot: 10.0 };
        assert_eq!(Stat::parse(text), Some(stat));
        assert_eq!(Stat::parse("nothing"), None);
    }

    #[test]
    fn limits_and_boot_time_are_found() {
        assert_eq!(descriptor_limit("Limit\nMax open files            1024   4096   files\n"), Some(1024.0));
        assert_eq!(memory("VmSize:\t 12 kB\nVmRSS:\t    7 kB\n", "VmRSS:"), Some(7.0));
        assert_eq!(boot_time("cpu 1\nbtime 1700000000\n"), Some(1_700_000_000.0));
    }
}
