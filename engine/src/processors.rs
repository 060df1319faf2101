//! Work on all processors.

use std::{num::NonZero, panic::resume_unwind, thread};

/// Does the same on every processor, but on no more than `most` of them: here, and on threads of its own. Returns what each
/// gave, first what came of it here. Where one panics, so does this.
pub(crate) fn on_all<T: Send>(most: usize, work: impl Fn() -> T + Sync) -> Vec<T> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(most);
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(&work)).collect();
        let mine = work();
        let joined = others.into_iter().map(|t| t.join().unwrap_or_else(|e| resume_unwind(e)));
        std::iter::once(mine).chain(joined).collect()
    })
}
