//! What calls of providers took, what workers tell each other about breakers, and what they last saw; runs that go on
//! from a broken answer, and that wait for providers.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

/// The second schema.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261121_000002_usage"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// On SQLite as well, where a table is rebuilt: half of that would be no table.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let statements = match manager.get_database_backend() {
            DbBackend::Postgres => include_str!("postgres.sql"),
            DbBackend::Sqlite => include_str!("sqlite.sql"),
            other => {
                return Err(DbErr::Migration(format!(
                    "{other:?} is not supported: use Postgres or SQLite"
                )));
            }
        };
        manager.get_connection().execute_unprepared(statements).await?;
        Ok(())
    }

    /// The wider CHECK of `mcp_request` stays: there may be runs that need it, and the schema before is content with it.
    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        for statement in [
            "DROP TABLE mcp_usage",
            "DROP TABLE mcp_breaker",
            "ALTER TABLE mcp_worker DROP COLUMN figures_at",
            "ALTER TABLE mcp_worker DROP COLUMN figures",
            "ALTER TABLE mcp_request DROP COLUMN waits_until",
        ] {
            connection.execute_unprepared(statement).await?;
        }
        Ok(())
    }
}
