//! The numbers of a status for the recorder of the `metrics` crate.
#![forbid(unsafe_code)]

use crate::status::{MetricKind, Status};

impl Status {
    /// Sets every number of [`metrics`](Self::metrics) in the recorder of the `metrics` crate, as
    /// `sessile_hits` and so on, labelled with a name for the cache. Call it from a timer, or when
    /// the exporter is asked.
    ///
    /// Does nothing while no recorder is installed.
    ///
    /// ```
    /// let cache = sessile::SessionCache::<Vec<u8>>::new(100)?;
    /// cache.status().publish("www.example.org");
    /// # Ok::<(), sessile::BuildError>(())
    /// ```
    pub fn publish(&self, cache: &'static str) {
        for metric in self.metrics() {
            let name = format!("sessile_{}", metric.name);
            match metric.kind {
                MetricKind::Counter => {
                    metrics::counter!(name, "cache" => cache).absolute(metric.value);
                }
                MetricKind::Gauge => {
                    metrics::gauge!(name, "cache" => cache).set(metric.value as f64);
                }
            }
        }
    }
}
