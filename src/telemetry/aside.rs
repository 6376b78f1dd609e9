//! A thread beside those that serve queries.
//!
//! What is told may be megabytes. To write them takes a thread milliseconds, and where
//! cores are few the scheduler makes it wait for as long after that: no thread that serves
//! queries does it.

use std::future::{Future, pending};
use std::io;
use std::thread;

use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// Has a future run on a thread of its own, for ever.
///
/// # Errors
/// When there can be no such thread.
///
/// # Cancel safety
/// Dropped, the future is dropped as well, a moment later.
pub(super) async fn aside<F: Future<Output = ()>>(
    name: &str,
    future: impl FnOnce() -> F + Send + 'static,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (_until_dropped, dropped) = oneshot::channel::<()>();
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = future() => {}
                    _ = dropped => {}
                }
            });
            runtime.shutdown_background();
        })?;
    pending().await
}
