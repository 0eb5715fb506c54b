//! The log's partitions: one per week of run ids. A UUIDv7 begins with its millisecond, so a week of time is a range of
//! ids. What falls outside the prepared weeks goes to the default partition.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Row};
use uuid::Uuid;

use super::Postgres;
use crate::domain::Timestamp;
use crate::ledger::LedgerError;

const WEEK_MS: i64 = 7 * 86_400_000;
/// Weeks prepared beyond the present one.
const AHEAD: i64 = 3;
const PREFIX: &str = "mcp_event_w";
/// Serialises changes of partitions among processes, for the time of a transaction.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended('mcp_event_partitions', 0))";

/// The first id of a moment.
fn first_id(at_ms: i64) -> Uuid {
    Uuid::from_u128(u128::from(u64::try_from(at_ms).unwrap_or(0)) << 80)
}

async fn exists(connection: &mut PgConnection, name: &str) -> Result<bool, sqlx::Error> {
    sqlx::query("SELECT to_regclass($1) IS NOT NULL")
        .bind(name)
        .fetch_one(connection)
        .await?
        .try_get(0)
}

impl Postgres {
    pub(super) async fn create_partitions(&self) -> Result<(), LedgerError> {
        self.within(async {
            let mut connection = self.pool.acquire().await?;
            let now: i64 = sqlx::query("SELECT mcp_now()").fetch_one(&mut *connection).await?.try_get(0)?;
            for week in (now / WEEK_MS)..=(now / WEEK_MS + AHEAD) {
                let name = format!("{PREFIX}{week}");
                if exists(&mut connection, &name).await? {
                    continue;
                }
                let mut transaction = connection.begin().await?;
                sqlx::query(LOCK).execute(&mut *transaction).await?;
                // The name and the bounds are made of numbers only.
                sqlx::query(AssertSqlSafe(format!(
                    "CREATE TABLE IF NOT EXISTS {name} PARTITION OF mcp_event FOR VALUES FROM ('{}') TO ('{}')",
                    first_id(week * WEEK_MS),
                    first_id((week + 1) * WEEK_MS),
                )))
                .execute(&mut *transaction)
                .await?;
                transaction.commit().await?;
            }
            Ok(())
        })
        .await
    }

    /// Drops the weeks that ended before `until` and of which no run is left.
    pub(super) async fn drop_partitions(&self, until: Timestamp) -> Result<(), LedgerError> {
        self.within(async {
            let mut connection = self.pool.acquire().await?;
            let names = sqlx::query(
                "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'mcp_event'::regclass",
            )
            .fetch_all(&mut *connection)
            .await?;
            for row in names {
                let name: String = row.try_get(0)?;
                let week = name.rsplit('.').next().and_then(|name| name.strip_prefix(PREFIX));
                let Some(week) = week.and_then(|week| week.parse::<i64>().ok()) else {
                    continue;
                };
                if (week + 1) * WEEK_MS > until.millis() {
                    continue;
                }
                let left =
                    sqlx::query("SELECT EXISTS (SELECT 1 FROM mcp_request WHERE id >= $1 AND id < $2)")
                        .bind(first_id(week * WEEK_MS))
                        .bind(first_id((week + 1) * WEEK_MS))
                        .fetch_one(&mut *connection)
                        .await?;
                if left.try_get(0)? {
                    continue;
                }
                let mut transaction = connection.begin().await?;
                sqlx::query(LOCK).execute(&mut *transaction).await?;
                sqlx::query(AssertSqlSafe(format!("DROP TABLE IF EXISTS {PREFIX}{week}")))
                    .execute(&mut *transaction)
                    .await?;
                transaction.commit().await?;
            }
            Ok(())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_moment_sort_between_its_neighbours() {
        let id = Uuid::now_v7();
        let at = i64::try_from(id.as_u128() >> 80).unwrap();
        assert!(first_id(at) <= id && id < first_id(at + 1));
    }
}
