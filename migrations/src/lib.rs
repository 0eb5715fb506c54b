//! The database schema, and nothing else: SQL per database, applied in order, each step once. Entities and queries
//! live elsewhere and are never imported here, so that an old migration keeps meaning what it meant.

use sea_orm_migration::prelude::*;

mod m20261121_000001_runs;
mod m20261121_000002_usage;

/// Every migration, in order.
#[derive(Debug, Clone, Copy)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261121_000001_runs::Migration),
            Box::new(m20261121_000002_usage::Migration),
        ]
    }

    fn migration_table_name() -> DynIden {
        "mcp_migration".into_iden()
    }
}

/// Brings the database up to date. May be called by several processes at once and repeatedly.
///
/// # Errors
/// When the database is away or refuses a step; on Postgres a refused step leaves nothing behind.
pub async fn migrate(db: &sea_orm::DatabaseConnection) -> Result<(), DbErr> {
    Migrator::up(db, None).await
}

/// Names of the migrations the database still lacks.
///
/// # Errors
/// When the database is away.
pub async fn pending(db: &sea_orm::DatabaseConnection) -> Result<Vec<String>, DbErr> {
    let pending = Migrator::get_pending_migrations(db).await?;
    Ok(pending
        .iter()
        .map(|migration| migration.name().to_owned())
        .collect())
}
