//! The numbers of a cache, of its contexts and of its tier, in the text format of Prometheus.

use std::fmt::Write;

use sessile::{HistogramFigures, Metric, MetricKind, ResumptionFigures, Status};
use sessile_redis::TierStats;

/// Everything that a cache counts.
pub fn cache(status: &Status) -> String {
    lines("sessile", status.metrics())
}

/// Everything that a second tier counts.
pub fn tier(stats: &TierStats) -> String {
    let mut text = lines("sessile_tier", stats.metrics());
    let name = "sessile_tier_latency_seconds";
    head(&mut text, name, "Time that an answer took", "histogram");
    histogram(&mut text, name, "", &stats.latency);
    text
}

/// What clients offered to contexts that are counted apart, by a name for each.
pub fn contexts(contexts: &[(&str, ResumptionFigures)]) -> String {
    let (mut text, offers) = (String::new(), "sessile_offers_total");
    head(&mut text, offers, "Sessions that clients offered to resume", "counter");
    for (context, figures) in contexts {
        for (protocol, offered) in [("TLS 1.2", figures.tls12), ("TLS 1.3", figures.tls13)] {
            for (outcome, count) in [("found", offered.found), ("missed", offered.missed)] {
                let labels =
                    format!("context=\"{context}\",protocol=\"{protocol}\",outcome=\"{outcome}\"");
                put(&mut text, format_args!("{offers}{{{labels}}} {count}"));
            }
        }
    }
    let ages = "sessile_resumption_age_seconds";
    head(&mut text, ages, "Age of sessions that were found", "histogram");
    for (context, figures) in contexts {
        histogram(&mut text, ages, &format!("context=\"{context}\","), &figures.ages);
    }
    text
}

fn lines(prefix: &str, metrics: impl Iterator<Item = Metric>) -> String {
    let mut text = String::new();
    for metric in metrics {
        let end = if metric.kind == MetricKind::Counter { "_total" } else { "" };
        let name = format!("{prefix}_{}{end}", metric.name);
        head(&mut text, &name, metric.help, metric.kind.name());
        put(&mut text, format_args!("{name} {}", metric.value));
    }
    text
}

fn head(text: &mut String, name: &str, help: &str, kind: &str) {
    put(text, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
}

/// `labels` ends with a comma, or is empty.
fn histogram(text: &mut String, name: &str, labels: &str, figures: &HistogramFigures) {
    for (bound, count) in figures.cumulative() {
        let bound = bound.map_or("+Inf".into(), |bound| bound.as_secs_f64().to_string());
        put(text, format_args!("{name}_bucket{{{labels}le=\"{bound}\"}} {count}"));
    }
    let labels = labels.trim_end_matches(',');
    put(text, format_args!("{name}_sum{{{labels}}} {}", figures.sum().as_secs_f64()));
    put(text, format_args!("{name}_count{{{labels}}} {}", figures.count()));
}

fn put(text: &mut String, line: std::fmt::Arguments<'_>) {
    // A string takes any text.
    let _ = writeln!(text, "{line}");
}
