//! Random cases of the reference model, [`testkit::model`].

mod cases;

use cases::OPERATIONS;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use sessile::Policy;
use std::cell::Cell;
use testkit::model::{ANY_SIZE, ONE_SET, Pair};
use testkit::scaled;

fn check(name: &[u8; 32], policy: Policy, protect: bool, capacities: &'static [usize], cases: u32) {
    let config =
        Config { cases, failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, name));
    let early = Cell::new(0);
    let run = runner.run(&cases::cases(), |(setting, operations)| {
        let mut pair = Pair::new(setting, policy, protect, capacities);
        operations.into_iter().for_each(|operation| pair.apply(operation));
        early.set(early.get() + pair.finish());
        Ok(())
    });
    if let Err(failure) = run {
        panic!("{failure}");
    }
    let operations = u64::from(cases) * OPERATIONS as u64;
    assert!(
        early.get() * 10_000 <= operations,
        "{} evictions before the cache was full",
        early.get()
    );
}

const CASES: u32 = scaled(30_000, 500) as u32;

#[test]
fn least_recently_used_is_as_the_model_says() {
    check(b"the least recently used goes ...", Policy::Lru, false, ONE_SET, CASES);
}

#[test]
fn protecting_the_reused_is_as_the_model_says() {
    check(b"those used once are protected ..", Policy::Lru, true, ONE_SET, CASES);
}

#[test]
fn first_in_first_out_is_as_the_model_says() {
    check(b"the first that came goes first .", Policy::Fifo, false, ONE_SET, CASES);
}

#[test]
fn soonest_expiry_is_as_the_model_says() {
    check(b"the soonest to expire goes first", Policy::SoonestExpiry, false, ONE_SET, CASES);
}

#[test]
fn tables_of_many_sets_are_as_the_model_permits() {
    check(b"sets of fourteen, many of them .", Policy::Lru, false, ANY_SIZE, CASES);
}
