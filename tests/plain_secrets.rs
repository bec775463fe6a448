//! Whatever lies in a block is wiped when the block is freed. The allocator of this test looks into
//! each chunk that is given back. A binary of its own, one test at a time: each cache that goes
//! gives back what chunks are free.

use sessile::{Secret, Session, SessionBuilder, SessionCache};
use std::hint::black_box;
use std::sync::{Mutex, MutexGuard, PoisonError};
use testkit::allocator::{GivenBack, given_back, refusing};
use testkit::id;

const MARK: u8 = 0xA9;

#[global_allocator]
static ALLOCATOR: testkit::allocator::Probe = testkit::allocator::Probe;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

const CHUNK: usize = 64 << 10;

type Small = [u8; 700];
type Smaller = [u8; 600];
type Large = [u8; 20_000];

/// A slab's blocks are given back with their chunk.
fn trim<T: Send + Sync + 'static>() {
    drop(SessionCache::<T>::new(1));
}

#[test]
fn a_plain_payload_is_wiped_when_its_block_is_freed() {
    let _alone = alone();
    let GivenBack { unwiped, of_length } = given_back(&[MARK; 8], CHUNK, || {
        drop(Session::new(id(1), black_box::<Small>([MARK; 700])));
        trim::<Small>();
    });
    assert_eq!((unwiped, of_length), (0, 1), "in the slab");
    let GivenBack { unwiped, of_length } = given_back(&[MARK; 8], 20_128, || {
        drop(Session::new(id(1), black_box::<Large>([MARK; 20_000])));
    });
    assert_eq!((unwiped, of_length), (0, 1), "too large for it");
}

/// A secret in the block of its session, in one of its own, and in memory of its own.
#[test]
fn a_secret_is_wiped_wherever_it_lies() {
    static MARKS: [u8; 30_000] = [MARK; 30_000];
    let _alone = alone();
    let unwiped = |bytes: &'static [u8]| {
        let given_back = given_back(&[MARK; 8], CHUNK, || {
            let session = SessionBuilder::new(id(1)).build_bytes(bytes);
            let secret = Secret::from(bytes);
            let (kept, copy) = (session.clone(), Secret::clone(&session));
            assert!([&session, &secret, &kept, &copy].iter().all(|secret| ***secret == *bytes));
            drop((session, secret, kept, copy));
            trim::<Secret>();
        });
        assert!(given_back.of_length > 0, "a chunk was given back");
        given_back.unwiped
    };
    for length in [1, 100, 800, 8000, 16_200, 30_000] {
        // A stack of its own: what others left on theirs gets into memory that is not written
        // whole.
        let unwiped = std::thread::spawn(move || unwiped(&MARKS[..length])).join().unwrap();
        assert_eq!(unwiped, 0, "{length}");
    }
}

#[test]
fn blocks_from_elsewhere_go_back_there() {
    let _alone = alone();
    // No chunk can be had, a page can.
    let page = CHUNK;
    let GivenBack { unwiped, .. } = given_back(&[MARK; 8], 0, || {
        let session = refusing(page, 0, || Session::new(id(1), black_box::<Smaller>([MARK; 600])));
        assert_eq!(*session, [MARK; 600]);
        // The payload is 96 bytes into the block, the block half a line into the page.
        assert_eq!(std::ptr::from_ref(Session::payload(&session)).addr() % 4096, 32 + 96);
        let other = Session::new(id(2), black_box::<Smaller>([MARK; 600]));
        assert!(!Session::ptr_eq(&session, &other));
        drop((session, other));
    });
    assert_eq!(unwiped, 0);
    trim::<Smaller>();
}
