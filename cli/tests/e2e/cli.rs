//! The command line against the real server. How it takes a server that misbehaves is told elsewhere, with a server that
//! does so on purpose; here is that both speak the same language.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;
use simulator::{SimulatorConfig, expected_text};

use crate::stage::{Mode, Process, Stage, all_modes, cluster_modes, soon};

const PROMPT: &str = "Tell me something";

fn text(tokens: u32) -> String {
    expected_text(SimulatorConfig::default().seed, PROMPT, tokens)
}

fn json_lines(stdout: &str) -> Vec<Value> {
    stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// `mcpctl` as a user has it: with the server's address and nothing of the server's settings.
fn mcpctl(origin: &str, arguments: &[&str]) -> crate::stage::Command {
    crate::stage::Command::mcpctl(arguments, &[("MCP_SERVER".to_owned(), origin.to_owned())])
}

all_modes! {
    async fn a_prompt_is_handed_in_followed_looked_at_and_listed(mode: Mode) {
        let stage = Stage::open(mode).await;
        let client = stage.client();
        let mcpctl = |arguments: &[&str]| mcpctl(client.origin(), arguments);
        let model = ["--model", "sim:tokens=12"];

        for way in [["--follow"], ["--wait"]] {
            let ended = mcpctl(&[&["submit", PROMPT], &model[..], &way[..]].concat()).finish().await;
            assert_eq!((ended.code(), ended.stdout.as_str()), (Some(0), text(12).as_str()), "{ended}");
            assert!(ended.stderr.contains("simulated: true"), "{ended}");
            let piped = mcpctl(&[&["submit", "-"], &model[..], &way[..]].concat()).reading(PROMPT).finish().await;
            assert_eq!((piped.code(), piped.stdout), (Some(0), ended.stdout), "{}", piped.stderr);
        }

        let detached = mcpctl(&[&["submit", PROMPT, "--detach", "--user", "ada"], &model[..]].concat()).finish().await;
        assert_eq!(detached.code(), Some(0), "{detached}");
        let run = detached.stdout.trim().to_owned();
        let tail = mcpctl(&["tail", &run]).finish().await;
        assert_eq!((tail.code(), tail.stdout), (Some(0), text(12)), "{}", tail.stderr);
        let result = mcpctl(&["result", &run]).finish().await;
        assert_eq!((result.code(), result.stdout), (Some(0), text(12)), "{}", result.stderr);
        for arguments in [&["status", run.as_str()][..], &["list"], &["tail", &run], &["result", &run]] {
            let ended = mcpctl(arguments).finish().await;
            assert_eq!(ended.code(), Some(0), "{arguments:?}: {ended}");
            assert!(format!("{}{}", ended.stdout, ended.stderr).contains("simulated: true"), "{arguments:?}: {ended}");
        }
        let late = mcpctl(&["cancel", &run]).finish().await;
        assert_eq!(late.code(), Some(1), "{late}");
        assert!(late.stderr.contains("already_finished"), "{late}");

        // As JSON it is what the server says.
        let ended = mcpctl(&["tail", &run, "-o", "json"]).finish().await;
        assert_eq!(json_lines(&ended.stdout), client.history(&run).await);
        let ended = mcpctl(&["status", &run, "-o", "json"]).finish().await;
        assert_eq!(json_lines(&ended.stdout), [client.run(&run).await]);
        let ended = mcpctl(&["result", &run, "-o", "json"]).finish().await;
        assert_eq!(json_lines(&ended.stdout), [client.result(&run).await]);
        let ended = mcpctl(&["list", "-o", "json", "--limit", "2"]).finish().await;
        let page = client.get("/mcp/v1/requests?limit=2").await.body;
        assert_eq!(json_lines(&ended.stdout), [page]);
        let ended = mcpctl(&["submit", PROMPT, "--follow", "-o", "json", "--model", "sim-fast:tokens=2"]).finish().await;
        let lines = json_lines(&ended.stdout);
        assert!(lines.iter().skip(1).all(|event| event["data"]["simulated"] == true), "{ended}");
        assert_eq!(lines.last().expect("an event")["type"], "run.succeeded", "{ended}");
        stage.close().await;
    }

    async fn every_exit_code_is_meant(mode: Mode) {
        let keys = "acme:acme-0123456789abcdef,ops:ops-0123456789abcdef:admin";
        let stage = Stage::with(mode, &[("MCP_API_KEYS", keys)]).await;
        let acme = stage.client().with_key("acme-0123456789abcdef");
        let mcpctl = |arguments: &[&str]| mcpctl(acme.origin(), arguments).with(&[("MCP_API_KEY", "acme-0123456789abcdef")]);
        let code = async |arguments: &[&str], said: &[&str]| {
            let ended = mcpctl(arguments).finish().await;
            for part in said {
                assert!(ended.stderr.contains(part), "{arguments:?}: {ended}");
            }
            ended.code()
        };

        assert_eq!(code(&["submit", PROMPT, "--wait", "--model", "sim-fast:tokens=1"], &["simulated: true"]).await, Some(0));
        assert_eq!(code(&["submit", " ", "--wait"], &["empty_prompt", "req_"]).await, Some(1));
        let unknown = "run_01a1fdf4a89470b5b080f0636ede2858";
        assert_eq!(code(&["status", unknown], &["run_not_found", "mcpctl list"]).await, Some(1));
        assert_eq!(code(&["submit", PROMPT, "--priority", "high"], &["--priority"]).await, Some(2));
        for way in ["--wait", "--follow"] {
            let failing = ["submit", PROMPT, way, "--model", "sim:fault=400"];
            assert_eq!(code(&failing, &["provider_rejected"]).await, Some(3));
        }
        for key in ["", "acme-0123456789abcdeF"] {
            let ended = mcpctl(&["list"]).with(&[("MCP_API_KEY", key)]).finish().await;
            assert_eq!(ended.code(), Some(4), "{ended}");
        }
        assert_eq!(code(&["list", "--all-tenants"], &["admin_required"]).await, Some(4));
        assert_eq!(code(&["list", "--server", "http://127.0.0.1:1"], &["127.0.0.1:1"]).await, Some(5));

        // A wait that is too short leaves the run alone; a cancel ends it, for whoever follows it, too.
        let hold = ["submit", PROMPT, "--wait=0.3", "--model", "sim:fault=stall_headers"];
        assert_eq!(code(&hold, &["not finished after 0.3 s", "goes on"]).await, Some(124));
        let held = acme.get("/mcp/v1/requests?limit=1").await.body["requests"][0]["request_id"].clone();
        let held = held.as_str().expect("an id");
        let mut follower = mcpctl(&["tail", held, "-o", "json"]).start();
        follower.line_with("route.selected").await;
        let cancelled = mcpctl(&["cancel", held]).finish().await;
        assert_eq!(cancelled.code(), Some(0), "{cancelled}");
        assert!(cancelled.stdout.contains("cancel") && cancelled.stdout.contains("simulated: true"), "{cancelled}");
        let follower = follower.finish().await;
        assert_eq!(follower.code(), Some(3), "{follower}");
        assert_eq!(code(&["result", held], &["was cancelled"]).await, Some(3));
        assert_eq!(acme.cancel(held).await.status, StatusCode::OK);
        stage.close().await;
    }
}

cluster_modes! {
    async fn a_tail_goes_on_when_the_api_is_replaced(mode: Mode) {
        let mut stage = Stage::open(mode).await;
        let client = stage.client();
        let origin = client.origin().to_owned();
        let run = client.submit_to("sim:tokens=40,pace=200ms").await;
        let start = |arguments: &[&str]| -> Process { mcpctl(&origin, arguments).start() };
        let mut events = start(&["tail", &run, "-o", "json"]);
        let answer = start(&["tail", &run]);
        events.line_with("output.delta").await;
        // A first connection that fails is an error; only one that stood is come back to. Text has no lines to wait
        // for, so it is the server that tells when both are there.
        soon("both watch", async {
            let both = |metrics: &str| {
                metrics
                    .lines()
                    .any(|line| line.starts_with("mcp_watchers") && line.ends_with(" 2"))
            };
            while !client.get("/metrics").await.body.as_str().is_some_and(both) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;

        stage.apis[0].kill().await;
        events.log_with("connecting again").await;
        let port = origin.rsplit(':').next().expect("a port");
        let successor = stage.command(&["api", "--port", port]).start();
        let client = stage.add_api(successor).await;
        assert_eq!(client.origin(), origin);

        let (events, answer) = (events.finish().await, answer.finish().await);
        assert_eq!(events.code(), Some(0), "{events}");
        assert_eq!(
            json_lines(&events.stdout),
            client.history(&run).await,
            "every event once and in order"
        );
        assert_eq!(
            (answer.code(), answer.stdout),
            (Some(0), text(40)),
            "{}",
            answer.stderr
        );
        stage.close().await;
    }
}
