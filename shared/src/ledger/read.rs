//! The role of who looks: logs (hot, written per database), and everything else (ordinary queries, written once).

use async_trait::async_trait;
use serde::Serialize;

use super::{LedgerError, PoolStatus, RunResult};
use crate::domain::{
    Class, Cursor, Estimate, Interruption, Kind, LogEntry, Priority, RunId, Status, TenantId, Timestamp,
    UserHash, WorkerId,
};

/// Reads logs.
#[async_trait]
pub trait Log: Send + Sync {
    /// Up to `limit` entries of a run after a cursor, in order, and no more than fit about one mebibyte (always at
    /// least one). None means: nothing after that cursor yet.
    ///
    /// # Errors
    /// When the ledger is away.
    async fn entries(&self, run: RunId, after: Cursor, limit: u32) -> Result<Vec<LogEntry>, LedgerError>;

    /// The same for many runs in one query: up to `limit` entries in all, in order inside each run.
    ///
    /// # Errors
    /// When the ledger is away.
    async fn tail(
        &self,
        watched: &[(RunId, Cursor)],
        limit: u32,
    ) -> Result<Vec<(RunId, LogEntry)>, LedgerError>;
}

/// A page that carries less than this was not cut short by its size: the ledger cuts at about twice as much.
const FULL_PAGE_BYTES: usize = 512 * 1024;

/// Whether a page of a [`Log`], asked for with this limit, may have been cut short, so that there is more to read now.
pub fn is_full_page<'a>(page: impl IntoIterator<Item = &'a LogEntry>, limit: u32) -> bool {
    let (mut entries, mut bytes) = (0, 0);
    for entry in page {
        entries += 1;
        bytes += entry.data.len();
    }
    entries >= limit as usize || bytes >= FULL_PAGE_BYTES
}

/// A run as the API shows it: everything but its content.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRecord {
    /// The run.
    pub id: RunId,
    /// What it is made of.
    pub kind: Kind,
    /// Who is accounted.
    pub tenant: TenantId,
    /// On whose behalf.
    pub user: Option<UserHash>,
    /// What the scheduler weighs.
    pub class: Class,
    /// As the client gave it.
    pub priority: Priority,
    /// What the client says it is for.
    pub task_type: String,
    /// The model asked for.
    pub model: String,
    /// What happens when its answer breaks off.
    pub on_interruption: Interruption,
    /// Where it is.
    pub status: Status,
    /// Its current epoch.
    pub epoch: u32,
    /// Who holds it.
    pub worker: Option<WorkerId>,
    /// Times it was claimed.
    pub attempts: u32,
    /// Not claimed before.
    pub not_before: Timestamp,
    /// It fails when it has not ended by then.
    pub deadline_at: Option<Timestamp>,
    /// When a cancel was asked for.
    pub cancel_at: Option<Timestamp>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it was last claimed.
    pub claimed_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// What it is expected to take.
    pub estimate: Estimate,
    /// The client's own notes, as JSON text.
    pub metadata: Option<String>,
    /// Whether its provider is the simulator.
    pub simulated: bool,
}

/// A run's end as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredResult {
    /// How it ended.
    pub result: RunResult,
    /// When.
    pub finished_at: Timestamp,
}

/// Which runs to list. All set conditions hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Only of this tenant; none lists all tenants (for admins).
    pub tenant: Option<TenantId>,
    /// Only on behalf of this user.
    pub user: Option<UserHash>,
    /// Only in this status.
    pub status: Option<Status>,
    /// Only of this class.
    pub class: Option<Class>,
    /// Only of this task type.
    pub task_type: Option<String>,
}

/// One page of a listing, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The runs.
    pub runs: Vec<RunRecord>,
    /// Where the next page begins: runs older than this one. None on the last page.
    pub next: Option<RunId>,
}

/// The queue as an admin sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Overview {
    /// Every class, most urgent first.
    pub classes: Vec<ClassOverview>,
    /// Incarnations that are alive or draining.
    pub workers: Vec<WorkerRecord>,
}

/// One class of the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClassOverview {
    /// The class.
    pub class: Class,
    /// Queued and claimable now.
    pub ready: u64,
    /// Held by workers.
    pub running: u64,
    /// Queued until `not_before`.
    pub delayed: u64,
    /// How long the oldest ready run has been waiting, in milliseconds.
    pub oldest_ready_age_ms: Option<u64>,
}

/// One worker incarnation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorkerRecord {
    /// The incarnation.
    pub id: WorkerId,
    /// For people: host and process.
    pub name: String,
    /// `alive` or `draining`.
    pub status: String,
    /// Runs it executes at the same time.
    pub slots: u32,
    /// Runs it holds.
    pub running: u64,
    /// When it introduced itself.
    pub started_at: Timestamp,
    /// Its lease ends then unless renewed.
    pub lease_until: Timestamp,
}

/// Ordinary queries, the same on both databases.
#[derive(Clone)]
pub struct Reader {
    pub(super) db: sea_orm::DatabaseConnection,
    /// A query that has not answered by then counts as unavailable.
    pub(super) patience: std::time::Duration,
    pub(super) pool: std::sync::Arc<dyn Fn() -> PoolStatus + Send + Sync>,
}
