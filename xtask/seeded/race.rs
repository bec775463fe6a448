//! Two threads write one word without an order between them. ThreadSanitizer must say so.

struct Shared(std::cell::UnsafeCell<u64>);

// SAFETY: none; that is the bug.
unsafe impl Sync for Shared {}

static WORD: Shared = Shared(std::cell::UnsafeCell::new(0));

fn main() {
    let write = || {
        for n in 0..10_000 {
            // SAFETY: none; that is the bug.
            unsafe { WORD.0.get().write_volatile(n) };
        }
    };
    let threads = [std::thread::spawn(write), std::thread::spawn(write)];
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
