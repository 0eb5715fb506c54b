//! A Postgres database of its own for each test.

use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// Dropped by [`Database::drop`]; a test that fails leaves it to the server's end.
pub(crate) struct Database {
    admin: String,
    name: String,
    url: String,
}

impl Database {
    /// Creates one on the server of `TEST_DATABASE_URL`.
    pub(crate) async fn create() -> Self {
        let admin = std::env::var("TEST_DATABASE_URL")
            .expect("TEST_DATABASE_URL is not set: run ./scripts/test, which starts a server and sets it");
        Self::create_on(admin).await
    }

    /// Creates one on another server.
    pub(crate) async fn create_on(admin: String) -> Self {
        let name = format!("e2e_{}", shared::domain::RunId::new().uuid().simple());
        let mut connection = PgConnection::connect(&admin)
            .await
            .expect("the test server answers");
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .execute(&mut connection)
            .await
            .expect("a database");
        let mut url = url::Url::parse(&admin).expect("a URL");
        url.set_path(&name);
        Self {
            admin,
            name,
            url: url.into(),
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A connection, for looking behind the scenes.
    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.expect("a connection")
    }

    /// One number.
    pub(crate) async fn number(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query)
            .fetch_one(&mut self.connect().await)
            .await
            .expect("a number")
    }

    /// Every row that is about a run, as JSON text: the run, its log, its result.
    pub(crate) async fn rows_of(&self, run: &str) -> Vec<String> {
        let run: shared::domain::RunId = run.parse().expect("an id");
        let rows = "
            SELECT to_jsonb(run)::text FROM mcp_request AS run WHERE id = $1
            UNION ALL SELECT to_jsonb(result)::text FROM mcp_result AS result WHERE run_id = $1
            UNION ALL (SELECT to_jsonb(event)::text FROM mcp_event AS event WHERE run_id = $1 ORDER BY epoch, seq)";
        sqlx::query_scalar(rows)
            .bind(run.uuid())
            .fetch_all(&mut self.connect().await)
            .await
            .expect("rows")
    }

    pub(crate) async fn drop(self) {
        let mut connection = PgConnection::connect(&self.admin)
            .await
            .expect("the test server answers");
        let statement = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        sqlx::query(AssertSqlSafe(statement))
            .execute(&mut connection)
            .await
            .expect("dropped");
    }
}
