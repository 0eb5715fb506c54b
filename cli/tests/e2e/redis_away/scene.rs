//! Two APIs and three workers on a Redis of their own, under load and under fire.

use std::time::Duration;

use futures_util::future::join_all;

use super::crew::Crew;
use super::load::Load;
use crate::stage::redis::Redis;
use crate::stage::{Client, Database, Namespace, Stage, is_redis_up, soon, until_redis_is};

const APIS: usize = 2;
const WORKERS: usize = 3;
/// Of each worker.
const SLOTS: usize = 4;

/// Whose way to Redis it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Apis,
    Workers,
    Both,
}

/// A campaign while it runs.
pub(super) struct Scene {
    stage: Stage,
    load: Load,
    crew: Crew,
}

impl Scene {
    /// Everybody goes straight to Redis.
    pub(super) async fn open(redis: &Redis) -> Self {
        Self::by_way_of(redis, &redis.url(), &redis.url()).await
    }

    /// APIs and workers reach Redis at these addresses.
    pub(super) async fn by_way_of(redis: &Redis, of_apis: &str, of_workers: &str) -> Self {
        // The limit of the one tenant is all there is, so that a place that is not given back shows, too.
        let (slots, limit) = (SLOTS.to_string(), (WORKERS * SLOTS).to_string());
        let settings = [
            ("MCP_SLOTS", slots.as_str()),
            ("MCP_MAX_RUNNING_PER_TENANT", &limit),
            ("RUST_LOG", "info"),
        ];
        let namespace = Namespace::on(redis.url());
        let mut stage = Stage::on(Database::create().await, Some(namespace), &settings).await;
        let mut clients: Vec<Client> = Vec::new();
        for _ in 0..APIS {
            let api = stage.api_command(&[("REDIS_URL", of_apis)]).start();
            clients.push(stage.add_api(api).await);
        }
        let (recipe, of_workers) = (stage.recipe(), of_workers.to_owned());
        let hire = move || recipe.worker().with(&[("REDIS_URL", &of_workers)]);
        let crew = Crew::start(WORKERS, hire).await;
        let scene = Self {
            load: Load::start(&clients),
            stage,
            crew,
        };
        scene.notices(Side::Both, true).await;
        scene
    }

    /// Every client gets some more runs done.
    pub(super) async fn goes_on(&mut self) {
        self.load.goes_on().await;
    }

    /// Something is done to Redis that may make it not answer; a worker that starts meanwhile may say so and end.
    pub(super) fn redis_may_be_away(&self) {
        self.crew.redis_may_be_away(true);
    }

    /// Waits until everybody on one side goes by way of Redis, or does without.
    pub(super) async fn notices(&self, side: Side, up: bool) {
        if side != Side::Workers {
            join_all(self.stage.apis.iter().map(async |api| {
                until_redis_is(up, &Client::new(api.origin.clone().expect("a listening API"))).await;
            }))
            .await;
        }
        if side != Side::Apis {
            soon("every worker knows of Redis", async {
                loop {
                    // Who was killed meanwhile does not answer, and is not among the next ones.
                    let origins = self.crew.origins().await;
                    let workers: Vec<Client> = origins.into_iter().map(Client::new).collect();
                    let states = join_all(workers.iter().map(is_redis_up)).await;
                    if !states.is_empty() && states.iter().all(|state| *state == Some(up)) {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            })
            .await;
        }
        if up && side == Side::Both {
            self.crew.redis_may_be_away(false);
        }
    }

    /// Ends the killing and the load, and checks what must hold in the end, whatever happened.
    pub(super) async fn end(mut self) {
        self.goes_on().await;
        self.notices(Side::Both, true).await;
        let Self {
            mut stage,
            load,
            crew,
        } = self;
        stage.workers = crew.at_peace().await;
        let runs = i64::try_from(load.stop().await).expect("a number");

        let database = stage.database();
        let ended = "SELECT count(*) FROM mcp_request WHERE status IN ('succeeded', 'cancelled')";
        let ends =
            "SELECT count(*) FROM mcp_event WHERE type IN ('run.succeeded', 'run.failed', 'run.cancelled')";
        let counts = [
            database.number("SELECT count(*) FROM mcp_request").await,
            database.number(ended).await,
            database.number(ends).await,
            database.number("SELECT count(*) FROM mcp_result").await,
        ];
        assert_eq!(counts, [runs; 4], "accepted, ended, ends, results");

        assert_all_capacity_is_there(&stage).await;
        stage.close().await;
    }
}

/// Runs that do not end by themselves can take every slot, and no more than these.
async fn assert_all_capacity_is_there(stage: &Stage) {
    let client = stage.client();
    let slots = WORKERS * SLOTS;
    let mut holders = Vec::new();
    for _ in 0..slots {
        holders.push(client.submit_to("sim:fault=stall_headers").await);
    }
    let all = stage.simulator.wait_for(|stats| stats.open == slots as u64);
    soon("every slot is taken", all).await;
    let late = client.submit_to("sim-fast:tokens=1").await;
    assert_eq!(client.run(&late).await["status"], "queued");
    for run in &holders {
        assert!(client.cancel(run).await.status.is_success());
        assert_eq!(client.result(run).await["status"], "cancelled");
    }
    assert_eq!(client.result(&late).await["status"], "succeeded");
}
