//! Reads an API server's metrics about audit events (kubernetes/apiserver `pkg/audit/metrics.go`).

/// The number of events that each backend (`log`, `buffered`, `webhook`) could not write. `metrics` is the text of
/// `/metrics`. Empty if no event was lost.
pub fn lost(metrics: &str) -> Vec<(String, u64)> {
    let lines = metrics.lines().filter_map(|line| line.strip_prefix("apiserver_audit_error_total{plugin=\""));
    let counts = lines.filter_map(|line| {
        let (plugin, count) = line.split_once("\"} ")?;
        // A count may have an exponent: 1.234567e+06.
        Some((plugin.to_owned(), count.trim().parse::<f64>().ok()? as u64))
    });
    counts.filter(|(_, count)| *count > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_events_are_counted_by_who_lost_them() {
        let text = "# TYPE apiserver_audit_error_total counter\n\
                    apiserver_audit_error_total{plugin=\"buffered\"} 0\n\
                    apiserver_audit_error_total{plugin=\"log\"} 1.234567e+06\n\
                    apiserver_audit_error_total{plugin=\"webhook\"} 12\n\
                    apiserver_audit_event_total 99\n";
        assert_eq!(lost(text), [("log".to_owned(), 1_234_567), ("webhook".to_owned(), 12)]);
        assert_eq!(lost("apiserver_audit_error_total{plugin=\"log\"} many\napiserver_audit_error_total 3\n"), []);
    }
}
