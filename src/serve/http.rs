//! What can be asked for.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use super::curves::Tables;
use super::guard::{self, Guard};
use super::library::Library;
use super::load::Meter;
use super::replay::{Replays, Unplayed, Wanted};
use super::series::View;
use super::types::{Chart, Kind, Pulse};
use super::{assets, detail, sweeps};
use crate::RunError;
use crate::jobs::lock;
use crate::plot::{Band, XAxis};
use crate::setup::Setup;

/// Between looks at what has changed, while somebody watches.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Streams that are open at once.
const MOST_STREAMS: usize = 32;
/// Curves of a chart.
const MOST_CURVES: usize = 256;
/// What is compared at once.
const MOST_COMPARED: usize = 32;
/// Bytes of a request.
const LARGEST_REQUEST: usize = 1 << 14;

/// What all requests share.
pub(super) struct Site {
    pub(super) library: Mutex<Library>,
    pub(super) tables: Tables,
    setup: Setup,
    replays: Replays,
    meter: Mutex<Meter>,
    pulse: watch::Sender<Pulse>,
    streams: AtomicUsize,
}

impl Site {
    pub(super) fn new(setup: Setup, library: Library) -> Self {
        let mut meter = Meter::new();
        let pulse = Pulse { server: library.name().to_owned(), revision: 0, load: meter.look() };
        Self {
            library: Mutex::new(library),
            tables: Tables::default(),
            setup,
            replays: Replays::default(),
            meter: Mutex::new(meter),
            pulse: watch::Sender::new(pulse),
            streams: AtomicUsize::new(0),
        }
    }

    fn look(&self) -> Pulse {
        let mut library = lock(&self.library);
        let (revision, server) = (library.refresh(), library.name().to_owned());
        Pulse { server, revision, load: lock(&self.meter).look() }
    }
}

/// All that is answered.
pub(super) fn router(site: Arc<Site>, guard: Guard) -> Router {
    Router::new()
        .route("/", get(assets::page))
        .route("/assets/{*name}", get(assets::asset))
        .route("/api/list", get(list))
        .route("/api/chart", get(chart))
        .route("/api/run", get(run))
        .route("/api/sweep", get(sweep))
        .route("/api/compare", get(compare))
        .route("/api/events", get(events))
        .route("/api/replays", post(replay))
        .route("/api/replays/{id}/{frame}", get(frame))
        .layer(DefaultBodyLimit::max(LARGEST_REQUEST))
        .layer(from_fn_with_state(Arc::new(guard), guard::watch))
        .with_state(site)
}

/// Looks at what has changed, as long as somebody watches.
pub(super) async fn beat(site: Arc<Site>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if site.streams.load(Ordering::Relaxed) > 0 {
            let looked = Arc::clone(&site);
            if let Ok(pulse) = tokio::task::spawn_blocking(move || looked.look()).await {
                site.pulse.send_if_modified(|last| std::mem::replace(last, pulse.clone()) != pulse);
            }
        }
    }
}

/// An answer that is no success.
pub(super) struct Refused(pub(super) StatusCode, pub(super) String);

impl From<RunError> for Refused {
    fn from(error: RunError) -> Self {
        Self(StatusCode::BAD_REQUEST, error.chain())
    }
}

/// Does the work of a request where it holds up no other one, and answers with JSON.
pub(super) async fn answer<T: Serialize + Send + 'static>(
    site: Arc<Site>,
    work: impl FnOnce(&Site) -> Result<T, Refused> + Send + 'static,
) -> Response {
    let json = move || {
        let value = work(&site)?;
        serde_json::to_vec(&value)
            .map_err(|error| Refused(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
    };
    let (status, bytes) = match tokio::task::spawn_blocking(json).await {
        Ok(Ok(bytes)) => (StatusCode::OK, bytes),
        Ok(Err(Refused(status, error))) => (status, error_json(&error)),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error_json(&error.to_string())),
    };
    (status, [(CONTENT_TYPE, "application/json")], bytes).into_response()
}

fn error_json(error: &str) -> Vec<u8> {
    serde_json::json!({ "error": error }).to_string().into_bytes()
}

pub(super) fn unknown(key: u32) -> Refused {
    Refused(
        StatusCode::NOT_FOUND,
        format!("nothing has the key {key}: it was removed, or the server is another one"),
    )
}

#[derive(Deserialize)]
struct Since {
    #[serde(default)]
    since: u64,
}

async fn list(State(site): State<Arc<Site>>, Query(Since { since }): Query<Since>) -> Response {
    answer(site, move |site| {
        let mut library = lock(&site.library);
        library.refresh();
        Ok(library.list(since))
    })
    .await
}

/// What of a chart is asked for.
#[derive(Deserialize)]
struct Asked {
    /// Separated by commas.
    keys: String,
    metric: String,
    #[serde(default)]
    x: String,
    from: Option<f64>,
    to: Option<f64>,
    buckets: Option<usize>,
    smooth: Option<usize>,
    #[serde(default)]
    log_x: bool,
    #[serde(default)]
    log_y: bool,
    #[serde(default)]
    band: String,
    /// Whether some rows are enough of files that were not read yet.
    #[serde(default)]
    first_look: bool,
}

impl Asked {
    fn x(&self) -> Result<XAxis, Refused> {
        match self.x.as_str() {
            "" | "steps" => Ok(XAxis::Steps),
            "seconds" => Ok(XAxis::Seconds),
            "updates" => Ok(XAxis::Updates),
            other => Err(wrong(format!("x must be steps, seconds or updates, got {other}"))),
        }
    }

    fn view(&self) -> Result<View, Refused> {
        let band = match self.band.as_str() {
            "" | "ci" => Band::Interval,
            "range" => Band::Range,
            "none" => Band::None,
            other => return Err(wrong(format!("band must be ci, range or none, got {other}"))),
        };
        let window = match (self.from, self.to) {
            (Some(from), Some(to)) if from.is_finite() && to.is_finite() && from < to => Some((from, to)),
            (None, None) => None,
            _ => return Err(wrong("from and to must be numbers, from below to".to_owned())),
        };
        Ok(View {
            window,
            buckets: self.buckets.unwrap_or(400).clamp(10, 4000),
            smooth: self.smooth.unwrap_or(1).clamp(1, 10_000),
            log_x: self.log_x,
            log_y: self.log_y,
            band,
            // Times and updates are found by iterations, which two samples do not have in common.
            is_first_look: self.first_look && window.is_none() && self.x()? == XAxis::Steps,
        })
    }
}

pub(super) fn wrong(message: String) -> Refused {
    Refused(StatusCode::BAD_REQUEST, message)
}

/// Keys of the list, at most so many.
pub(super) fn keys(text: &str, most: usize) -> Result<Vec<u32>, Refused> {
    let parsed: Result<Vec<u32>, _> =
        text.split(',').filter(|part| !part.is_empty()).map(str::parse).collect();
    match parsed {
        Ok(keys) if keys.len() <= most => Ok(keys),
        Ok(keys) => Err(wrong(format!("at most {most} are shown together, got {}", keys.len()))),
        Err(_) => Err(wrong(format!("keys must be whole numbers, got {text}"))),
    }
}

async fn chart(State(site): State<Arc<Site>>, Query(asked): Query<Asked>) -> Response {
    answer(site, move |site| {
        let (x, view, keys) = (asked.x()?, asked.view()?, keys(&asked.keys, MOST_CURVES)?);
        let mut chart = Chart { metric: asked.metric.clone(), curves: Vec::new(), missing: Vec::new() };
        for key in keys {
            let entry = lock(&site.library).entry(key);
            match entry.map(|entry| site.tables.curve(key, &entry, &asked.metric, x, &view)) {
                Some(Ok(curve)) => chart.curves.push(curve),
                Some(Err(error)) => chart.missing.push((key, error.chain())),
                None => chart.missing.push((key, unknown(key).1)),
            }
        }
        Ok(chart)
    })
    .await
}

#[derive(Deserialize)]
struct Key {
    key: u32,
}

async fn run(State(site): State<Arc<Site>>, Query(Key { key }): Query<Key>) -> Response {
    answer(site, move |site| {
        let entry = lock(&site.library).entry(key).ok_or_else(|| unknown(key))?;
        let config = lock(&site.library).settings(&entry.path);
        Ok(detail::detail(key, &entry, config)?)
    })
    .await
}

async fn sweep(State(site): State<Arc<Site>>, Query(Key { key }): Query<Key>) -> Response {
    answer(site, move |site| {
        let library = lock(&site.library);
        let entry = library.entry(key).ok_or_else(|| unknown(key))?;
        Ok(sweeps::sweep(&library, key, &entry)?)
    })
    .await
}

#[derive(Deserialize)]
struct Chosen {
    /// Separated by commas.
    keys: String,
    #[serde(default = "auto")]
    measure: String,
    normalize: Option<String>,
}

fn auto() -> String {
    "auto".to_owned()
}

async fn compare(State(site): State<Arc<Site>>, Query(chosen): Query<Chosen>) -> Response {
    answer(site, move |site| {
        let mut entries = Vec::new();
        for key in keys(&chosen.keys, MOST_COMPARED)? {
            let library = lock(&site.library);
            let named = library.item_of(key).map(|item| item.id.clone()).zip(library.entry(key));
            entries.push(named.ok_or_else(|| unknown(key))?);
        }
        Ok(sweeps::compare(&site.setup, &entries, &chosen.measure, chosen.normalize.as_deref())?)
    })
    .await
}

async fn replay(State(site): State<Arc<Site>>, body: Bytes) -> Response {
    answer(site, move |site| {
        let wanted: Wanted = serde_json::from_slice(&body).map_err(|error| wrong(error.to_string()))?;
        let entry = lock(&site.library).entry(wanted.key).ok_or_else(|| unknown(wanted.key))?;
        if entry.kind != Kind::Run {
            return Err(wrong("episodes are played of one run: choose one of the seeds".to_owned()));
        }
        site.replays.play(&site.setup, &entry.path, &wanted).map_err(|error| match error {
            Unplayed::Busy => {
                let message = "two episodes are being played already: try again in a moment".to_owned();
                Refused(StatusCode::TOO_MANY_REQUESTS, message)
            }
            Unplayed::Failed(error) => error.into(),
        })
    })
    .await
}

async fn frame(State(site): State<Arc<Site>>, Path((id, frame)): Path<(u64, usize)>) -> Response {
    match site.replays.frame(id, frame) {
        // A frame never becomes another one; who goes back to it need not ask again.
        Some(picture) => {
            ([(CONTENT_TYPE, "image/png"), (CACHE_CONTROL, "private, max-age=3600")], picture).into_response()
        }
        None => (StatusCode::NOT_FOUND, "this episode is not kept any more: play it again\n").into_response(),
    }
}

/// Events as they come.
struct Stream {
    events: mpsc::Receiver<String>,
    site: Arc<Site>,
}

impl futures_core::Stream for Stream {
    type Item = Result<String, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_recv(context).map(|event| event.map(Ok))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.site.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn events(State(site): State<Arc<Site>>) -> Response {
    if site.streams.fetch_add(1, Ordering::Relaxed) >= MOST_STREAMS {
        site.streams.fetch_sub(1, Ordering::Relaxed);
        return (StatusCode::SERVICE_UNAVAILABLE, "too many pages are open\n").into_response();
    }
    let (sender, events) = mpsc::channel(4);
    let mut pulses = site.pulse.subscribe();
    let stream = Stream { events, site: Arc::clone(&site) };
    tokio::spawn(async move {
        let looked = Arc::clone(&site);
        if let Ok(pulse) = tokio::task::spawn_blocking(move || looked.look()).await {
            site.pulse.send_replace(pulse);
        }
        loop {
            let text = serde_json::to_string(&*pulses.borrow_and_update()).unwrap_or_default();
            let has_gone = sender.send(format!("event: pulse\ndata: {text}\n\n")).await.is_err();
            if has_gone || pulses.changed().await.is_err() {
                return;
            }
        }
    });
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(stream)).into_response()
}
