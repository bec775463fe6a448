//! What the compiler is told about branches: the code of those that are seldom taken goes out of
//! the way, so that an operation runs through fewer cache lines.
#![forbid(unsafe_code)]

/// The condition, which is seldom true.
#[inline(always)]
pub(crate) fn unlikely(condition: bool) -> bool {
    if condition {
        cold();
    }
    condition
}

/// The condition, which is nearly always true.
#[inline(always)]
pub(crate) fn likely(condition: bool) -> bool {
    !unlikely(!condition)
}

#[cold]
fn cold() {}
