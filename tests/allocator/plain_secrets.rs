//! Payloads that do not wipe themselves lie in blocks that are wiped.

use sessile::{Session, SessionCache};
use std::hint::black_box;
use testkit::allocator::{GivenBack, given_back, refusing};
use testkit::id;

const MARK: u8 = 0xA9;

/// Of sizes that nothing else here has, so that each has a size class to itself.
type Small = [u8; 700];
type Smaller = [u8; 600];
type Large = [u8; 5000];

/// A slab's blocks are given back with their chunk.
fn trim<T: Send + Sync + 'static>() {
    drop(SessionCache::<T>::new(1));
}

#[test]
fn a_plain_payload_is_wiped_when_its_block_is_freed() {
    let GivenBack { unwiped, of_length } = given_back(&[MARK; 8], 64 << 10, || {
        drop(Session::new(id(1), black_box::<Small>([MARK; 700])));
        trim::<Small>();
    });
    assert_eq!((unwiped, of_length), (0, 1), "in the slab");
    let GivenBack { unwiped, of_length } = given_back(&[MARK; 8], 5120, || {
        drop(Session::new(id(1), black_box::<Large>([MARK; 5000])));
    });
    assert_eq!((unwiped, of_length), (0, 1), "too large for it");
}

#[test]
fn blocks_from_elsewhere_go_back_there() {
    // No chunk can be had, a block can.
    let lines = 12;
    let GivenBack { unwiped, of_length } = given_back(&[MARK; 8], (lines + 1) * 64, || {
        let session = refusing(4096, 0, || Session::new(id(1), black_box::<Smaller>([MARK; 600])));
        assert_eq!(*session, [MARK; 600]);
        let other = Session::new(id(2), black_box::<Smaller>([MARK; 600]));
        assert!(!Session::ptr_eq(&session, &other));
        drop((session, other));
    });
    assert_eq!((unwiped, of_length), (0, 1));
    trim::<Smaller>();
}
