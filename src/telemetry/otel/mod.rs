//! Traces and metrics to a collector, by OTLP over HTTP, in JSON (the feature `otel`).
//!
//! Nothing here is waited for by a query: spans come by a queue that is bounded, and what
//! finds no room in it is dropped and counted.

mod json;
mod metrics;
mod plan;
mod post;
mod spans;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Receiver;
use tokio::time::{interval, sleep, timeout};

pub use self::plan::Plan;
use self::plan::Target;
use super::aside::aside;
use super::http::{IsEnding, LogOutcome};
use super::sight::Sight;
use crate::proxy::House;
use crate::proxy::spans::{Spans, Transaction};

/// How often it is looked whether enough spans have come: to be woken for each would
/// cost queries their time.
const LOOK: Duration = Duration::from_millis(50);

/// What is still there at the end is given so long.
const AT_THE_END: Duration = Duration::from_secs(3);

/// Sends what the house has to tell.
pub struct Exporter {
    plan: Plan,
    house: Arc<House>,
    started: Instant,
    is_ending: Box<IsEnding>,
    log: Box<LogOutcome>,
    /// The collector did not take what was sent last.
    in_trouble: AtomicBool,
    /// Spans are on their way.
    sends_spans: AtomicBool,
}

impl Exporter {
    /// Of this house, which begins now; and what takes its transactions.
    #[must_use]
    pub fn new(
        plan: Plan,
        house: Arc<House>,
        is_ending: Box<IsEnding>,
        log: Box<LogOutcome>,
    ) -> (Arc<Self>, Option<Receiver<Transaction>>) {
        let from = plan.traces.as_ref().map(|_| {
            let (spans, from) = Spans::new(plan.sampler, plan.most_queued);
            let _ = house.spans.set(spans);
            from
        });
        let exporter = Self {
            plan,
            house,
            started: Instant::now(),
            is_ending,
            log,
            in_trouble: AtomicBool::new(false),
            sends_spans: AtomicBool::new(false),
        };
        (Arc::new(exporter), from)
    }

    /// Exports for ever, on a thread of its own.
    ///
    /// # Cancel safety
    /// Dropped, it exports nothing any more; what was on its way may arrive.
    pub async fn run(self: Arc<Self>, transactions: Option<Receiver<Transaction>>) {
        let export = move || async move {
            let of_metrics = self.run_metrics();
            match transactions {
                Some(transactions) => tokio::join!(of_metrics, self.run_spans(transactions)).0,
                None => of_metrics.await,
            }
        };
        if let Err(error) = aside("otel", export).await {
            tracing::error!("otel: {error}");
        }
    }

    async fn run_metrics(self: &Arc<Self>) {
        let Some(target) = &self.plan.metrics else {
            return;
        };
        loop {
            sleep(self.plan.metrics_each).await;
            self.send_metrics(target).await;
        }
    }

    async fn run_spans(&self, mut transactions: Receiver<Transaction>) {
        let Some(target) = &self.plan.traces else {
            return;
        };
        let mut looks = interval(LOOK);
        let mut last = Instant::now();
        loop {
            looks.tick().await;
            let is_time = last.elapsed() >= self.plan.spans_each || (self.is_ending)();
            if transactions.len() < self.plan.most_at_once && !is_time {
                continue;
            }
            last = Instant::now();
            self.sends_spans.store(true, Ordering::Release);
            while let Some(batch) = taken(&mut transactions, self.plan.most_at_once) {
                self.send_spans(target, batch).await;
            }
            self.sends_spans.store(false, Ordering::Release);
        }
    }

    /// The end is near: the spans that are left, and the metrics once more. It must be
    /// [running](Self::run) still.
    ///
    /// # Cancel safety
    /// Dropped before its end, some of that is not sent.
    pub async fn finish(self: &Arc<Self>) {
        let spans = async {
            while self.has_spans() {
                sleep(LOOK).await;
            }
        };
        let metrics = async {
            if let Some(target) = &self.plan.metrics {
                self.send_metrics(target).await;
            }
        };
        let _ = timeout(AT_THE_END, async { tokio::join!(spans, metrics) }).await;
    }

    fn has_spans(&self) -> bool {
        let waiting = self.house.spans.get().map_or(0, Spans::waiting);
        waiting > 0 || self.sends_spans.load(Ordering::Acquire)
    }

    async fn send_metrics(self: &Arc<Self>, target: &Target) {
        let this = Arc::clone(self);
        let text = tokio::task::spawn_blocking(move || {
            let sight = Sight::of(&this.house, this.started, (this.is_ending)(), (this.log)());
            let dropped = this.house.spans.get().map_or(0, Spans::dropped);
            metrics::text(&this.plan.resource, &sight, this.started, dropped)
        });
        if let Ok(text) = text.await {
            self.note(post::post(target, text).await);
        }
    }

    async fn send_spans(&self, target: &Target, batch: Vec<Transaction>) {
        let (count, resource) = (batch.len(), self.plan.resource.clone());
        let text = tokio::task::spawn_blocking(move || spans::text(&resource, &batch));
        let outcome = match text.await {
            Ok(text) => post::post(target, text).await,
            Err(_) => Err("it could not be written".to_owned()),
        };
        if outcome.is_err()
            && let Some(spans) = self.house.spans.get()
        {
            spans.lost(count);
        }
        self.note(outcome);
    }

    /// Told once, until it works again.
    fn note(&self, outcome: Result<(), String>) {
        let was_in_trouble = self.in_trouble.swap(outcome.is_err(), Ordering::Relaxed);
        match outcome {
            Err(why) if !was_in_trouble => {
                tracing::warn!("the OTLP collector takes nothing: {why}")
            }
            Ok(()) if was_in_trouble => tracing::info!("the OTLP collector takes what it is sent"),
            Ok(()) | Err(_) => {}
        }
    }
}

/// What is there, at most so many.
fn taken(from: &mut Receiver<Transaction>, most: usize) -> Option<Vec<Transaction>> {
    let mut batch = Vec::new();
    while batch.len() < most
        && let Ok(one) = from.try_recv()
    {
        batch.push(one);
    }
    (!batch.is_empty()).then_some(batch)
}
