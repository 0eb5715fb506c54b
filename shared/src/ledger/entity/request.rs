//! Table `mcp_request`, without its content columns (`spec` is the executor's, and comes with the claim).

use sea_orm::entity::prelude::*;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "mcp_request")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub kind: String,
    pub tenant: String,
    pub user_hash: Option<String>,
    pub class: String,
    pub priority: i16,
    pub task_type: String,
    pub model: String,
    pub on_interruption: String,
    pub status: String,
    pub epoch: i32,
    pub worker_id: Option<Uuid>,
    pub not_before: i64,
    pub deadline_at: Option<i64>,
    pub attempts: i32,
    pub cancel_at: Option<i64>,
    pub idempotency_key: Option<String>,
    pub body_hmac: Option<Vec<u8>>,
    pub estimated_input_tokens: i32,
    pub estimated_output_tokens: i32,
    pub estimated_cost_nanousd: Option<i64>,
    pub simulated: bool,
    pub created_at: i64,
    pub claimed_at: Option<i64>,
    pub finished_at: Option<i64>,
    pub metadata: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
