//! What one choice of a route costs: microseconds per choice among 10, 100 and 500 candidates, all of which can take the
//! run and have figures; and with half of them passed over. Run it with `cargo run -p worker --release --example
//! route_cost`.

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Write as _;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::catalog::{Catalog, CatalogError, LiveProvider};
use worker::routing::need::Need;
use worker::routing::plan::{Router, RouterSettings};
use worker::routing::ticket::CallEnd;
use worker::routing::verdict::Verdict;

const PROVIDERS: usize = 40;
const ROUNDS: u32 = 40;
const CHOICES: u32 = 500;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    for candidates in [10, 100, 500] {
        let router = router(candidates)?;
        warm(&router, candidates);
        let easy = Need::plain("m");
        let mut half = easy.clone();
        // Every other model has a small context window.
        half.input_tokens = 5_000;
        let all = micros(&router, &easy);
        let half = micros(&router, &half);
        writeln!(
            out,
            "{candidates:>4} candidates: {all:6.2} µs per choice, {half:6.2} µs with every other one passed over"
        )?;
    }
    Ok(())
}

fn router(candidates: usize) -> Result<Router, CatalogError> {
    let mut text = String::new();
    for provider in 0..PROVIDERS.min(candidates) {
        // Writing into a String cannot fail.
        let _ = write!(
            text,
            "[providers.p{provider}]\nbase_url = \"http://p{provider}.example/v1\"\nauth = \"none\"\n\
             limits = {{ rpm = 100000000, concurrency = 100000 }}\n"
        );
    }
    for model in 0..candidates {
        let (provider, window) = (model % PROVIDERS, if model % 2 == 0 { 200_000 } else { 4_000 });
        let price = 0.1 + 0.01 * f64::from(u32::try_from(model).unwrap_or(0));
        let _ = write!(
            text,
            "[[models]]\nprovider = \"p{provider}\"\nname = \"m{model}\"\naliases = [\"m\"]\nquality = {}\n\
             context_window = {window}\ncapabilities = [\"chat\", \"tools\"]\n\
             prices = {{ input = {price}, output = {price} }}\n",
            1 + model % 5
        );
    }
    let catalog = Arc::new(Catalog::default().merge("example.toml", &text)?);
    let live: Vec<LiveProvider> = catalog
        .providers()
        .iter()
        .map(|provider| LiveProvider {
            provider: Arc::clone(provider),
            base_url: provider.base_url.clone(),
            keys: Vec::new(),
            credentials: None,
            key_env: None,
        })
        .collect();
    Ok(Router::new(
        RouterSettings::default(),
        catalog,
        &live,
        NonZeroU32::MIN,
    ))
}

/// Gives every candidate figures.
fn warm(router: &Router, candidates: usize) {
    for model in 0..candidates {
        let began = router.now();
        let need = Need::plain(&format!("p{}/m{model}", model % PROVIDERS));
        if let Ok(mut choice) = router.choose(&need, &[], began, 1) {
            let took = Duration::from_millis(200 + u64::try_from(model).unwrap_or(0));
            choice.ticket.first_token(began.plus(took));
            let end = CallEnd {
                output_tokens: Some(200),
                ..CallEnd::of(Verdict::Well)
            };
            let _ = choice.ticket.end(&end, began.plus(took * 4));
        }
    }
}

/// Of the quickest round: what it costs while nobody else wants the processor.
fn micros(router: &Router, need: &Need) -> f64 {
    let round = |round: u32| {
        let began = Instant::now();
        for choice in 0..CHOICES {
            let seed = u64::from(round * CHOICES + choice);
            // With its report, and with the ticket taken and given back.
            let _ = black_box(router.choose(black_box(need), &[], router.now(), seed));
        }
        began.elapsed().as_secs_f64() * 1e6 / f64::from(CHOICES)
    };
    (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min)
}
