//! Loses memory. LeakSanitizer and valgrind must say so.

#[inline(never)]
fn lose() {
    for n in 0..100u64 {
        std::mem::forget(std::hint::black_box(Box::new([n; 32])));
    }
}

fn main() {
    lose();
}
