//! The program `worker`: claims tasks, holds leases, starts and watches executors. Links no native library.
//!
//! What it decides is decided in `worker-core`; this is the loop around it.

mod attempt_log;
mod calls;
mod cgroup;
mod deletion_cost;
mod engines;
mod executor_process;
mod machine;
mod pins;
mod settings;
mod slots;
mod status;
mod supervise;
mod wake_ups;

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use logging::Fields;
use monitoring::HttpError;
use proto::{Place, ReachError};
use serde_json::json;
use spans::Spans;
use store::{ConfigError, Stores};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};
use tracing::{Instrument, Span};
use types::{LeaseNumber, WorkerName};
use worker_core::{Agent, AgentEffect, AgentEvent, AgentSettings, Answer, Call, Denial};

pub use settings::Settings;

use crate::{
    calls::{Coordinator, Identity},
    deletion_cost::{Api, CostError},
    executor_process::ExecutorCommand,
    pins::{PinError, Pins},
    slots::Slots,
    status::Status,
    wake_ups::{Order, WakeUps},
};

/// Between two looks at deadlines and memory.
const TICK: Duration = Duration::from_millis(250);

/// Wrong usage, denied and cannot run here (docs/cli.md lists the codes).
const EXIT_USAGE: u8 = 2;
const EXIT_DENIED: u8 = 5;
const EXIT_CANNOT_RUN: u8 = 6;

/// A coordinator that will not have this worker, found out before it had ever answered.
#[derive(Debug, thiserror::Error)]
enum DeniedError {
    #[error("the coordinator at {place} does not let this worker in: {why}")]
    Credentials { place: String, why: String },
    #[error("cannot work for the coordinator at {place}: {why}")]
    Protocol { place: String, why: String },
}

/// Runs the worker until it is told to end.
pub fn run(settings: Settings) -> ExitCode {
    checked(settings, async |settings, checked| {
        serve(settings, checked).await
    })
}

/// Prints the merged settings, and ends as a run would that finds something wrong with them.
pub fn show(settings: Settings, text: String) -> ExitCode {
    ::settings::print(&text);
    checked(settings, async |_, checked| {
        ::settings::print(&checked.stores.shown());
        Ok(())
    })
}

/// Checks the settings, then does something with what came of that; says what went wrong.
fn checked(settings: Settings, act: impl AsyncFnOnce(Settings, Checked) -> Result<()>) -> ExitCode {
    let name = settings.name.clone().unwrap_or_else(machine::host_name);
    let around = Fields::new([("worker", json!(name))]).rest;
    if let Err(error) = logging::start(&settings.logging, around) {
        eprintln!("worker: {:#}", anyhow::Error::new(error));
        return ExitCode::from(EXIT_USAGE);
    }
    for warning in ::settings::unknown_variables(settings.file.config.as_deref()) {
        tracing::warn!("{warning}");
    }
    // One thread: all that happens here is short, and what waits for the disk has threads of its own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = runtime
        .context("cannot start the runtime")
        .and_then(|runtime| {
            let checked = Checked::of(&settings, name)?;
            runtime.block_on(act(settings, checked))
        });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "ending");
            ExitCode::from(exit_code(&error))
        }
    }
}

fn exit_code(error: &anyhow::Error) -> u8 {
    use queue::{BrokerError, SettingsError};
    match error.downcast_ref::<BrokerError>() {
        Some(BrokerError::Settings(_)) => EXIT_USAGE,
        Some(error) if error.is_denial() => EXIT_DENIED,
        _ if matches!(error.downcast_ref(), Some(DeniedError::Credentials { .. })) => EXIT_DENIED,
        // What the user has to correct, against what this machine lacks.
        _ if error.is::<SettingsError>()
            || error.is::<ReachError>()
            || error.is::<ConfigError>()
            || error.is::<PinError>()
            || error.is::<CostError>()
            || matches!(
                error.downcast_ref(),
                Some(HttpError::BadAddress { .. } | HttpError::Reachable { .. })
            ) =>
        {
            EXIT_USAGE
        }
        _ => EXIT_CANNOT_RUN,
    }
}

/// What the settings come to, as far as that can be told without network, and without writing anything.
struct Checked {
    name: WorkerName,
    place: Place,
    http: Option<SocketAddr>,
    cluster: Option<Api>,
    stores: Stores,
    pins: Pins,
    command: ExecutorCommand,
    broker: Option<queue::Settings>,
    scratch: PathBuf,
}

impl Checked {
    fn of(settings: &Settings, name: WorkerName) -> Result<Self> {
        let place = settings.reach.place()?;
        let shown = std::env::var(pins::VISIBLE).ok();
        let pins = Pins::new(&settings.device, settings.slots, shown.as_deref())?;
        let mut named = settings.engines.iter().flatten();
        if !settings.device.are_gpus() && named.any(|engine| engine == engines::ON_GPUS) {
            return Err(PinError::OnGpus.into());
        }
        Ok(Self {
            http: monitoring::address(settings.http.as_deref(), settings.http_insecure)?,
            cluster: settings.deletion_cost.then(Api::of_this_pod).transpose()?,
            stores: Stores::read(settings.file.config.as_deref())?,
            command: executor_command(settings, &name, pins.slots())?,
            pins,
            broker: settings.queue.settings(&format!("worker {name}"))?,
            scratch: scratch_folder(settings, &place)?.join(name.as_str()),
            place,
            name,
        })
    }
}

async fn serve(settings: Settings, checked: Checked) -> Result<()> {
    let Checked {
        name,
        place,
        http,
        cluster,
        stores,
        pins,
        command,
        broker,
        scratch,
    } = checked;
    let (events, mut inbox) = mpsc::unbounded_channel();
    let status = Status::new(pins.slots());
    if let Some(address) = http {
        let listener = monitoring::bind(address).await?;
        // Answers as long as the process lives.
        tokio::spawn(monitoring::serve(
            listener,
            status.clone(),
            std::future::pending(),
        ));
    }
    if let Some(api) = cluster {
        // As long as the process lives, too.
        tokio::spawn(api.pod(&name)?.keep_told(status.clone()));
    }
    let spans = Spans::start("nightshift-worker", |why| tracing::warn!("{why}"));
    let named = settings.engines.as_deref();
    let engines = engines::engines(&command, pins.devices(), named).await?;
    let identity = Identity {
        name,
        incarnation: machine::incarnation(),
        pool: settings.pool.clone(),
        slots: pins.slots(),
        devices: pins.devices().clone(),
        engines,
        labels: settings.labels.clone().unwrap_or_default(),
        memory_bytes: machine::memory_bytes(),
        temporary: settings.exit_with_stdin,
    };
    if let Some(broker) = &broker {
        queue::check_at_start(broker, std::slice::from_ref(&identity.pool)).await?;
    }
    // Before it says that it runs: until then a signal kills it.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut slots = Slots::new(
        command,
        pins,
        &scratch,
        stores,
        events.clone(),
        spans.clone(),
    )
    .with_context(|| format!("cannot prepare the scratch folder {}", scratch.display()))?;
    tracing::info!(pool = %identity.pool, slots = identity.slots, devices = %identity.devices, "worker started");
    let agent_settings = AgentSettings {
        // The coordinator holds the call: the pause is only for one that does not.
        claim_pause_ms: 20,
        poll_ms: broker.as_ref().map(|_| milliseconds(settings.poll)),
        stall_ms: milliseconds(settings.stall_timeout),
        loading_stall_ms: milliseconds(settings.loading_timeout),
        drain_grace_ms: milliseconds(settings.drain_timeout),
        ..AgentSettings::new(identity.name.clone(), identity.incarnation, identity.slots)
    };
    let wake_ups = broker.map(|broker| {
        let pool = identity.pool.clone();
        WakeUps::start(broker, pool, events.clone())
    });
    // Whom a broker wakes does not wait at the coordinator.
    let hold = match &wake_ups {
        Some(_) => Duration::ZERO,
        None => settings.poll,
    };
    let coordinator = Arc::new(Coordinator::new(place.clone(), identity, hold));
    let mut has_parent = true;
    let mut parent_gone = std::pin::pin!(parent_gone(settings.exit_with_stdin));
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);

    let begun = Instant::now();
    let now_ms = || milliseconds(begun.elapsed());
    let mut agent = Agent::new(agent_settings, now_ms());
    let mut effects = agent.apply(AgentEvent::Ticked, now_ms());
    loop {
        for effect in effects.drain(..) {
            status.note_order(&effect);
            let effect = match effect {
                AgentEffect::Exit => {
                    slots.kill_all();
                    spans.flush().await;
                    tracing::info!("worker ended");
                    return Ok(());
                }
                // Nothing was begun.
                AgentEffect::GiveUp(denial) => return Err(denied(&place, denial)),
                effect => effect,
            };
            match (Order::of(&effect), &wake_ups) {
                (Some(order), Some(wake_ups)) => wake_ups.order(order),
                _ => carry_out(effect, &mut slots, &coordinator, &events),
            }
        }
        let event = tokio::select! {
            Some(event) = inbox.recv() => match slots.with_logs_kept(event) {
                Some(event) => event,
                None => continue,
            },
            _ = ticks.tick() => {
                slots.sample_memory();
                slots.clean();
                AgentEvent::Ticked
            }
            _ = terminate.recv() => AgentEvent::DrainRequested,
            _ = interrupt.recv() => AgentEvent::DrainRequested,
            () = &mut parent_gone, if has_parent => {
                tracing::info!("the parent is gone; worker ends");
                has_parent = false;
                AgentEvent::EndRequested
            }
        };
        status.note(&event);
        note(&event, &mut slots, wake_ups.as_ref());
        effects = agent.apply(event, now_ms());
    }
}

fn denied(place: &Place, denial: Denial) -> anyhow::Error {
    let place = place.to_string();
    match denial {
        Denial::Credentials(why) => DeniedError::Credentials { place, why },
        Denial::Protocol(why) => DeniedError::Protocol { place, why },
    }
    .into()
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What the shell itself has to know of an event.
fn note(event: &AgentEvent, slots: &mut Slots, wake_ups: Option<&WakeUps>) {
    match event {
        AgentEvent::ExecutorExited { slot, .. } => slots.gone(*slot),
        AgentEvent::Answered {
            call,
            answer: Answer::Granted(grant),
            ..
        } => {
            let number = match call {
                Call::Claim { wake_up, .. } => *wake_up,
                _ => None,
            };
            let woken = number.and_then(|number| wake_ups?.woken(number));
            slots.granted(grant, woken);
        }
        AgentEvent::Answered { call, answer, .. } => {
            let (Call::Complete { lease, .. } | Call::Fail { lease, .. } | Call::Release { lease }) =
                call
            else {
                return;
            };
            slots.span(*lease).in_scope(|| match answer {
                Answer::Completed(verdict) => tracing::info!(?verdict, "task completed"),
                _ => tracing::info!("the coordinator has noted how the task ended"),
            });
            slots.told(*lease, failure(call));
        }
        AgentEvent::CallRefused {
            call: call @ (Call::Fail { lease, .. } | Call::Release { lease }),
            ..
        } => slots.told(*lease, failure(call)),
        // What it keeps between tasks.
        AgentEvent::TaskDone { slot, .. } | AgentEvent::TaskFailed { slot, .. } => {
            slots.sample_memory_of(*slot);
        }
        _ => {}
    }
}

/// Why the task that the call is about did not succeed, if it says so.
fn failure(call: &Call) -> Option<&str> {
    match call {
        Call::Fail { failure, .. } => Some(&failure.message),
        Call::Release { .. } => Some("released"),
        _ => None,
    }
}

/// The lease that a call is about.
fn lease_of(call: &Call) -> Option<LeaseNumber> {
    match call {
        Call::Complete { lease, .. } | Call::Fail { lease, .. } | Call::Release { lease } => {
            Some(*lease)
        }
        Call::Register | Call::Claim { .. } | Call::Heartbeat { .. } | Call::Leave => None,
    }
}

/// Carries out one order; calls go on beside the loop and come back as events.
fn carry_out(
    effect: AgentEffect,
    slots: &mut Slots,
    coordinator: &Arc<Coordinator>,
    events: &mpsc::UnboundedSender<AgentEvent>,
) {
    match effect {
        AgentEffect::Send(call) => {
            let span = lease_of(&call).map_or_else(Span::none, |lease| slots.span(lease));
            if let Call::Fail { failure, .. } = &call {
                span.in_scope(|| {
                    tracing::warn!(
                        class = failure.class.as_str(),
                        failure = failure.message,
                        "task failed"
                    )
                });
            }
            let (coordinator, events) = (Arc::clone(coordinator), events.clone());
            let answered = async move {
                // The loop is gone only when the process ends.
                let _ = events.send(coordinator.make(call).await);
            };
            tokio::spawn(answered.instrument(span));
        }
        AgentEffect::Expect { slot, lease } => slots.expect(slot, lease),
        AgentEffect::StartExecutor { slot } => slots.start(slot),
        AgentEffect::RunTask { slot, grant } => slots.run(slot, &grant),
        AgentEffect::CancelTask { slot, lease } => {
            slots
                .span(lease)
                .in_scope(|| tracing::info!(slot, "task cancelled"));
            slots.cancel(slot, lease);
        }
        AgentEffect::KillExecutor { slot } => slots.kill(slot),
        AgentEffect::Finished { lease } => slots.forget(lease),
        // Handled by the loop: the first two end it, the others are ordered only where there is a broker.
        AgentEffect::Exit
        | AgentEffect::GiveUp(_)
        | AgentEffect::ConsumeWakeUps
        | AgentEffect::PauseWakeUps
        | AgentEffect::AckWakeUp => {}
    }
}

/// Where executors keep what they need while they compute.
fn scratch_folder(settings: &Settings, place: &Place) -> Result<PathBuf> {
    let base = match (&settings.scratch, place) {
        (Some(folder), _) => folder.clone(),
        (None, Place::State(folder)) => folder.join("scratch"),
        (None, Place::Remote(_)) => proto::local::default_state_folder()
            .context("neither HOME nor XDG_STATE_HOME is set; say where executors may write with --scratch DIR")?
            .join("scratch"),
    };
    absolute(&base)
}

fn executor_command(
    settings: &Settings,
    worker: &WorkerName,
    slots: u32,
) -> Result<ExecutorCommand> {
    let program = match &settings.executor {
        Some(program) => program.clone(),
        None => machine::executor_beside().context("cannot find the folder of this program")?,
    };
    if !Path::new(&program).is_file() {
        anyhow::bail!(
            "the executor {} is missing; `make build` makes it, --executor names another",
            program.display()
        );
    }
    let native = machine::native_folder(&program);
    let threads = (machine::processors() / slots as usize).max(1);
    Ok(ExecutorCommand {
        program,
        native,
        threads,
        json_logs: settings.logging.log_json,
        config: settings.file.config.as_deref().map(absolute).transpose()?,
        worker: worker.clone(),
    })
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("cannot find {}", path.display()))
}

/// Ends when standard input is closed, if that was asked for.
async fn parent_gone(watch: bool) {
    if !watch {
        return std::future::pending().await;
    }
    let (closed, wait) = tokio::sync::oneshot::channel();
    // A thread of its own: a blocked read must not keep the runtime from ending.
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        closed.send(())
    });
    let _ = wait.await;
}
