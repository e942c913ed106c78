//! The report in one line, for people.

use super::model::Report;
use super::verdict::Verdict;

/// Nanoseconds as seconds with three decimals.
fn seconds(ns: u64) -> String {
    format!("{}.{:03} s", ns / 1_000_000_000, ns % 1_000_000_000 / 1_000_000)
}

/// Bytes in the largest unit that keeps them above 1.
fn bytes(n: u64) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let mut unit = 0;
    let mut whole = n;
    let mut tenths = 0;
    while whole >= 1024 && unit + 1 < UNITS.len() {
        tenths = whole % 1024 * 10 / 1024;
        whole /= 1024;
        unit += 1;
    }
    if unit == 0 { format!("{whole} B") } else { format!("{whole}.{tenths} {}", UNITS[unit]) }
}

/// The verdict in one line.
#[must_use]
pub fn line(report: &Report) -> String {
    let mut out = format!("{}: {}", report.verdict, report.reason.lines().next().unwrap_or_default());
    if let Some(usage) = &report.usage
        && report.verdict < Verdict::SetupFailed
    {
        out.push_str(&format!(" · cpu {} · wall {}", seconds(usage.cpu_ns), seconds(usage.wall_ns)));
        if let Some(peak) = usage.memory_peak_bytes {
            out.push_str(&format!(" · memory {}", bytes(peak)));
        }
    }
    if !report.degraded.is_empty() {
        let names: Vec<&str> = report.degraded.iter().map(|l| l.name()).collect();
        out.push_str(&format!(" · degraded: {}", names.join(", ")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_cut_not_rounded_up() {
        assert_eq!(seconds(999_999_999), "0.999 s");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1024 * 1024 - 1), "1023.9 KiB");
        assert_eq!(bytes(3 << 30), "3.0 GiB");
    }
}
