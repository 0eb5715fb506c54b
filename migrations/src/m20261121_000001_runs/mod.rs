//! Runs, their logs and results, workers and duties.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

/// The first schema.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261121_000001_runs"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let statements = match manager.get_database_backend() {
            DbBackend::Postgres => include_str!("postgres.sql"),
            DbBackend::Sqlite => include_str!("sqlite.sql"),
            other => return Err(DbErr::Migration(format!("{other:?} is not supported: use Postgres or SQLite"))),
        };
        manager.get_connection().execute_unprepared(statements).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let tables = "DROP TABLE mcp_result; DROP TABLE mcp_event; DROP TABLE mcp_request; DROP TABLE mcp_worker; \
                      DROP TABLE mcp_duty;";
        manager.get_connection().execute_unprepared(tables).await?;
        Ok(())
    }
}
