//! Table `mcp_usage`.

use sea_orm::entity::prelude::*;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "mcp_usage")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub run_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub epoch: i32,
    #[sea_orm(primary_key, auto_increment = false)]
    pub call: i32,
    pub tenant: String,
    pub user_hash: Option<String>,
    pub simulated: bool,
    pub provider: String,
    pub model: String,
    pub key_index: Option<i32>,
    pub outcome: String,
    pub error_code: Option<String>,
    pub input_tokens: Option<i64>,
    pub output_tokens: Option<i64>,
    pub cached_input_tokens: Option<i64>,
    pub cache_write_tokens: Option<i64>,
    pub reasoning_tokens: Option<i64>,
    pub cost_nanousd: Option<i64>,
    pub cost_unknown: Option<String>,
    pub estimated: bool,
    pub first_token_ms: Option<i64>,
    pub duration_ms: i64,
    pub provider_request_id: Option<String>,
    pub started_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
