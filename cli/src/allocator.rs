//! Where this process's memory comes from.

use mimalloc::MiMalloc;

/// Runs come and go by the thousand, each with many small pieces of text: the system's allocator was a fifth of the CPU.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Keeps Linux from giving the heap pages of 2 MiB, which the allocator asks it for: they cost an idle process 14 MiB, and
/// a run takes as much CPU without them. A kernel that refuses costs that memory, and nothing else.
pub(crate) fn decline_huge_pages() {
    #[cfg(target_os = "linux")]
    rustix::thread::disable_transparent_huge_pages(true).ok();
}
