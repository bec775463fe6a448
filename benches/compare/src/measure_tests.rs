//! What a test bed prepares is what its workloads expect.

use crate::dyn_store::{Candidate, Role};
use crate::measure::{Effort, TestBed};
use crate::peers::Values;
use std::time::Duration;
use stores::workloads::{Preparation, Workload};

const CAPACITY: u64 = 1 << 14;

fn stores_of(values: Values, threads: usize, preparation: Preparation) -> Vec<(Candidate, usize)> {
    let is_exact = |candidate: &Candidate| {
        matches!(candidate.role, Role::Subject | Role::Peer | Role::Floor)
            && !candidate.name.starts_with("scc-cache")
    };
    let candidates: Vec<_> = values.candidates().into_iter().filter(is_exact).collect();
    let mut bed = TestBed::new(values, CAPACITY, threads);
    bed.prepare(&candidates, preparation);
    bed.stored().filter_map(|(candidate, stored)| Some((candidate, stored?))).collect()
}

#[test]
fn every_store_is_full_and_no_fuller() {
    for (values, threads) in [(Values::Session, 1), (Values::Arc, 2)] {
        for preparation in [Preparation::Filled, Preparation::Renewed, Preparation::ByItself] {
            for (candidate, stored) in stores_of(values, threads, preparation) {
                let stored = stored as f64 / CAPACITY as f64;
                let is_full = (0.93..=1.05).contains(&stored);
                assert!(
                    is_full,
                    "{} holds {stored} of its capacity: {preparation:?}, {threads}",
                    candidate.name
                );
            }
        }
    }
}

#[test]
fn what_is_stored_is_found() {
    let values = Values::Arc;
    let candidates: Vec<_> = values
        .candidates()
        .into_iter()
        .filter(|candidate| candidate.role == Role::Peer && !candidate.evicts)
        .collect();
    let effort = Effort { rounds: 1, fills: 1, run_time: Duration::from_millis(1) };
    for (workload, expected) in [
        (Workload::Hit, 1.0),
        (Workload::Tls12, 1.0),
        (Workload::Tls13, 1.0),
        (Workload::Miss, 0.0),
        (Workload::ColdGet, 1.0),
        (Workload::ColdTake, 1.0),
        (Workload::ColdTls13, 1.0),
        (Workload::ColdMiss, 0.0),
    ] {
        let mut bed = TestBed::new(values, CAPACITY, 1);
        bed.prepare(&candidates, workload.preparation());
        let table = bed.measure(workload, &candidates, effort);
        for record in &table.expect("nobody asks for the end").records {
            assert_eq!(
                record.hit_ratio(),
                Some(expected),
                "{} under {workload}",
                record.candidate.name
            );
        }
    }
}
