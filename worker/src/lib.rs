//! The program `worker`: claims tasks, holds leases, starts and watches executors. Links no native library.
//!
//! What it decides is decided in `worker-core`; this is the loop around it.

mod calls;
mod executor_process;
mod machine;
mod settings;
mod slots;

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};
use worker_core::{Agent, AgentEffect, AgentEvent, AgentSettings};

pub use settings::Settings;

use crate::{
    calls::{Coordinator, Identity},
    executor_process::ExecutorCommand,
    slots::Slots,
};

/// Between two looks at deadlines and memory.
const TICK: Duration = Duration::from_millis(250);

/// On one machine a heartbeat costs nothing and carries the progress that a person is looking at.
const HEARTBEAT_MS: u64 = 1_000;

/// Cannot run here (docs/cli.md lists the codes).
const EXIT_CANNOT_RUN: u8 = 6;

/// Runs the worker until it is told to end.
pub fn run(settings: Settings) -> ExitCode {
    start_logging(&settings);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let result = runtime
        .context("cannot start the runtime")
        .and_then(|runtime| runtime.block_on(serve(settings)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("worker: {error:#}");
            ExitCode::from(EXIT_CANNOT_RUN)
        }
    }
}

fn start_logging(settings: &Settings) {
    let filter =
        tracing_subscriber::EnvFilter::try_new(&settings.log).unwrap_or_else(|_| "info".into());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(false);
    if settings.log_json {
        log.json().init();
    } else {
        log.init();
    }
}

async fn serve(settings: Settings) -> Result<()> {
    let state = state_folder(&settings)?;
    let name = settings.name.clone().unwrap_or_else(machine::host_name);
    let command = executor_command(&settings)?;
    let (events, mut inbox) = mpsc::unbounded_channel();
    let scratch = state.join("scratch").join(name.as_str());
    let mut slots = Slots::new(command, &scratch, events.clone())
        .with_context(|| format!("cannot prepare the scratch folder {}", scratch.display()))?;
    let identity = Identity {
        name,
        incarnation: machine::incarnation(),
        pool: settings.pool.clone(),
        slots: settings.slots,
        engines: ["openvino", "onnxruntime", "torch-cpu"]
            .map(str::to_owned)
            .to_vec(),
        memory_bytes: machine::memory_bytes(),
    };
    tracing::info!(worker = %identity.name, pool = %identity.pool, slots = identity.slots, "worker started");
    let agent_settings = AgentSettings {
        heartbeat_ms: HEARTBEAT_MS,
        // The coordinator holds the call: the pause is only for one that does not.
        claim_pause_ms: 20,
        ..AgentSettings::new(identity.name.clone(), identity.incarnation, identity.slots)
    };
    let coordinator = Arc::new(Coordinator::new(state, identity));
    let mut parent_gone = std::pin::pin!(parent_gone(settings.exit_with_stdin));
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);

    let begun = Instant::now();
    let now_ms = || u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let mut agent = Agent::new(agent_settings, now_ms());
    let mut effects = agent.apply(AgentEvent::Ticked, now_ms());
    loop {
        for effect in effects.drain(..) {
            if effect == AgentEffect::Exit {
                slots.kill_all();
                tracing::info!("worker ended");
                return Ok(());
            }
            carry_out(effect, &mut slots, &coordinator, &events);
        }
        let event = tokio::select! {
            Some(event) = inbox.recv() => event,
            _ = ticks.tick() => {
                slots.sample_memory();
                AgentEvent::Ticked
            }
            _ = terminate.recv() => AgentEvent::DrainRequested,
            _ = interrupt.recv() => AgentEvent::DrainRequested,
            () = &mut parent_gone => {
                tracing::info!("the parent is gone; worker ends");
                slots.kill_all();
                return Ok(());
            }
        };
        if let AgentEvent::ExecutorExited { slot, .. } = &event {
            slots.gone(*slot);
        }
        effects = agent.apply(event, now_ms());
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
            let (coordinator, events) = (Arc::clone(coordinator), events.clone());
            tokio::spawn(async move {
                // The loop is gone only when the process ends.
                let _ = events.send(coordinator.make(call).await);
            });
        }
        AgentEffect::StartExecutor { slot } => slots.start(slot),
        AgentEffect::RunTask { slot, grant } => {
            tracing::info!(task = %grant.task, lease = %grant.lease, slot, "task begun");
            slots.run(slot, &grant);
        }
        AgentEffect::CancelTask { slot, lease } => slots.cancel(slot, lease),
        AgentEffect::KillExecutor { slot } => slots.kill(slot),
        AgentEffect::Finished { lease } => slots.forget(lease),
        // Handled by the loop, which it ends.
        AgentEffect::Exit => {}
    }
}

fn state_folder(settings: &Settings) -> Result<PathBuf> {
    let folder = settings
        .state
        .clone()
        .or_else(proto::local::default_state_folder);
    let folder = folder.context(
        "neither HOME nor XDG_STATE_HOME is set; say where the state is with --state DIR",
    )?;
    std::path::absolute(&folder).with_context(|| format!("cannot find {}", folder.display()))
}

fn executor_command(settings: &Settings) -> Result<ExecutorCommand> {
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
    let threads = (machine::processors() / settings.slots as usize).max(1);
    Ok(ExecutorCommand {
        program,
        native,
        threads,
        json_logs: settings.log_json,
        config: config_file(settings)?,
    })
}

/// A file with mistakes in it is said now, not by the first task.
fn config_file(settings: &Settings) -> Result<Option<PathBuf>> {
    let Some(file) = &settings.config else {
        return Ok(None);
    };
    store::StoresConfig::read(file)?;
    let file =
        std::path::absolute(file).with_context(|| format!("cannot find {}", file.display()))?;
    Ok(Some(file))
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
