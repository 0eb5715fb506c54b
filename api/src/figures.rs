//! What the queue and the workers look like at this moment, from the ledger: the scaling signal. Read when somebody
//! asks and never kept, so that a figure is either fresh or absent.

use std::fmt::{Display, Write as _};

use serde::Serialize;
use shared::ledger::{ClassOverview, LedgerError, Overview, PoolStatus, Reader, WorkerRecord};
use utoipa::ToSchema;

/// Slots of a worker as long as none is there to tell.
const DEFAULT_SLOTS: u64 = 256;
/// The state of a worker that takes new runs; the others are on their way out and do not count as capacity.
const ALIVE: &str = "alive";

/// The queue, the workers, and how many of them the load asks for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Figures {
    /// Every class, most urgent first.
    classes: Vec<ClassFigures>,
    /// Incarnations that are alive or draining.
    workers: Vec<WorkerFigures>,
    /// Slots of the workers that take new runs.
    #[schema(example = 512)]
    slots_total: u64,
    /// `ceil((ready + running) / slots per worker)`: the number to scale to.
    #[schema(example = 2)]
    desired_workers: u64,
    /// This process's connections to the ledger.
    pool: PoolFigures,
}

#[derive(Debug, Serialize, ToSchema)]
struct ClassFigures {
    /// `interactive`, `standard` or `batch`.
    #[schema(example = "interactive")]
    class: &'static str,
    /// Queued and claimable now.
    ready: u64,
    /// Held by workers.
    running: u64,
    /// Queued, and not to be claimed yet.
    delayed: u64,
    /// How long the oldest ready run has been waiting, in milliseconds.
    oldest_ready_age_ms: Option<u64>,
}

#[derive(Debug, Serialize, ToSchema)]
struct WorkerFigures {
    /// The incarnation: a restarted worker is a new one.
    #[schema(example = "wrk_0197a0c7be6b7cc2a1b5d1e0d5d8f3a1")]
    id: String,
    /// For people: host and process.
    #[schema(example = "worker-1:4711")]
    name: String,
    /// `alive` or `draining`.
    #[schema(example = "alive")]
    status: String,
    /// Runs it executes at the same time.
    #[schema(example = 256)]
    slots: u32,
    /// Runs it holds.
    running: u64,
    /// When it introduced itself, RFC 3339.
    started_at: String,
    /// When its lease ends unless it is renewed, RFC 3339.
    lease_until: String,
}

#[derive(Debug, Serialize, ToSchema)]
struct PoolFigures {
    /// Open connections.
    size: u32,
    /// Open and not in use.
    idle: u32,
    /// In use.
    in_use: u32,
    /// As many as there may be.
    max: u32,
}

impl Figures {
    /// Reads them.
    ///
    /// # Errors
    /// When the ledger is away.
    pub(crate) async fn read(reader: &Reader) -> Result<Self, LedgerError> {
        Ok(Self::of(reader.overview().await?, reader.pool_status()))
    }

    fn of(overview: Overview, pool: PoolStatus) -> Self {
        let load = overview
            .classes
            .iter()
            .map(|class| class.ready.saturating_add(class.running))
            .sum();
        let alive = overview.workers.iter().filter(|worker| worker.status == ALIVE);
        let slots: Vec<u64> = alive.map(|worker| u64::from(worker.slots)).collect();
        Self {
            slots_total: slots.iter().sum(),
            desired_workers: desired_workers(load, &slots),
            classes: overview.classes.into_iter().map(ClassFigures::from).collect(),
            workers: overview.workers.into_iter().map(WorkerFigures::from).collect(),
            pool: PoolFigures {
                size: pool.size,
                idle: pool.idle,
                in_use: pool.size.saturating_sub(pool.idle),
                max: pool.max,
            },
        }
    }

    /// As gauges in the Prometheus text format 0.0.4.
    pub(crate) fn to_prometheus(&self) -> String {
        let mut text = String::new();
        let by_class = |figure: fn(&ClassFigures) -> Option<u64>| {
            let sample =
                move |class: &ClassFigures| Some((format!(r#"{{class="{}"}}"#, class.class), figure(class)?));
            self.classes.iter().filter_map(sample).collect::<Vec<_>>()
        };
        let workers = |status: &str| {
            self.workers
                .iter()
                .filter(|worker| worker.status == status)
                .count()
        };
        let by_state = |state: &str| (format!(r#"{{status="{state}"}}"#), workers(state));
        let single = |value: u64| [(String::new(), value)];
        gauge(
            &mut text,
            "mcp_queue_ready",
            "Runs queued and claimable now",
            by_class(|class| Some(class.ready)),
        );
        gauge(
            &mut text,
            "mcp_queue_running",
            "Runs held by workers",
            by_class(|class| Some(class.running)),
        );
        gauge(
            &mut text,
            "mcp_queue_delayed",
            "Runs queued and not claimable yet",
            by_class(|class| Some(class.delayed)),
        );
        gauge(
            &mut text,
            "mcp_queue_oldest_ready_age_ms",
            "How long the oldest ready run has been waiting; absent when none is",
            by_class(|class| class.oldest_ready_age_ms),
        );
        gauge(
            &mut text,
            "mcp_workers",
            "Worker incarnations",
            [by_state(ALIVE), by_state("draining")],
        );
        gauge(
            &mut text,
            "mcp_workers_slots",
            "Slots of the workers that take new runs",
            single(self.slots_total),
        );
        gauge(
            &mut text,
            "mcp_workers_desired",
            "Workers the load asks for",
            single(self.desired_workers),
        );
        let pool = [("idle", self.pool.idle), ("in_use", self.pool.in_use)];
        let by_use = pool.map(|(state, count)| (format!(r#"{{state="{state}"}}"#), count));
        gauge(
            &mut text,
            "mcp_ledger_pool_connections",
            "Connections of this process to the ledger",
            by_use,
        );
        gauge(
            &mut text,
            "mcp_ledger_pool_max",
            "As many as there may be",
            single(self.pool.max.into()),
        );
        text
    }
}

/// One gauge with its samples, each a label set and a value.
pub(crate) fn gauge<V: Display>(
    text: &mut String,
    name: &str,
    help: &str,
    samples: impl IntoIterator<Item = (String, V)>,
) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
    for (labels, value) in samples {
        let _ = writeln!(text, "{name}{labels} {value}");
    }
}

/// `ceil(load / slots)` for the slots of an average worker.
fn desired_workers(load: u64, slots: &[u64]) -> u64 {
    let total: u64 = slots.iter().sum();
    match total {
        0 => load.div_ceil(DEFAULT_SLOTS),
        total => load.saturating_mul(slots.len() as u64).div_ceil(total),
    }
}

impl From<ClassOverview> for ClassFigures {
    fn from(class: ClassOverview) -> Self {
        Self {
            class: class.class.as_str(),
            ready: class.ready,
            running: class.running,
            delayed: class.delayed,
            oldest_ready_age_ms: class.oldest_ready_age_ms,
        }
    }
}

impl From<WorkerRecord> for WorkerFigures {
    fn from(worker: WorkerRecord) -> Self {
        Self {
            id: worker.id.to_string(),
            name: worker.name,
            status: worker.status,
            slots: worker.slots,
            running: worker.running,
            started_at: worker.started_at.to_string(),
            lease_until: worker.lease_until.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::domain::{Class, Timestamp, WorkerId};

    use super::*;

    #[test]
    fn desired_workers_is_the_load_over_the_slots_of_an_average_worker() {
        assert_eq!(desired_workers(0, &[]), 0);
        assert_eq!(desired_workers(1, &[]), 1);
        assert_eq!(desired_workers(257, &[]), 2);
        assert_eq!(desired_workers(512, &[256, 256]), 2);
        assert_eq!(desired_workers(513, &[256, 256]), 3);
        assert_eq!(desired_workers(30, &[10, 20]), 2);
        assert_eq!(desired_workers(5, &[0]), 1);
    }

    fn worker(status: &str, slots: u32) -> WorkerRecord {
        let moment = Timestamp::from_millis(0);
        let id = WorkerId::new();
        WorkerRecord {
            id,
            name: "w".to_owned(),
            status: status.to_owned(),
            slots,
            running: 0,
            started_at: moment,
            lease_until: moment,
        }
    }

    #[test]
    fn a_draining_worker_is_shown_and_is_no_capacity() {
        let class = |class, ready, oldest_ready_age_ms| ClassOverview {
            class,
            ready,
            running: 2,
            delayed: 1,
            oldest_ready_age_ms,
        };
        let overview = Overview {
            classes: vec![
                class(Class::Interactive, 16, Some(40)),
                class(Class::Batch, 0, None),
            ],
            workers: vec![worker("alive", 10), worker("draining", 90)],
        };
        let figures = Figures::of(
            overview,
            PoolStatus {
                size: 4,
                idle: 1,
                max: 8,
            },
        );
        assert_eq!((figures.slots_total, figures.desired_workers), (10, 2));
        let text = figures.to_prometheus();
        for line in [
            r#"mcp_queue_ready{class="interactive"} 16"#,
            r#"mcp_queue_running{class="batch"} 2"#,
            r#"mcp_queue_oldest_ready_age_ms{class="interactive"} 40"#,
            r#"mcp_workers{status="draining"} 1"#,
            "mcp_workers_desired 2",
            r#"mcp_ledger_pool_connections{state="in_use"} 3"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        assert!(!text.contains(r#"age_ms{class="batch"}"#), "{text}");
    }
}
