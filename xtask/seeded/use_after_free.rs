//! Reads memory after its end. AddressSanitizer and valgrind must say so.

fn main() {
    let word = Box::into_raw(Box::new(std::hint::black_box(7u64)));
    // SAFETY: none for the read; that is the bug.
    let read = unsafe {
        drop(Box::from_raw(word));
        word.read_volatile()
    };
    std::hint::black_box(read);
}
