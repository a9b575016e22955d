//! The loop of the program: messages of the agent in, one task at a time on its own thread, progress and outcome out.

use std::{
    any::Any,
    os::unix::net::UnixStream,
    panic::{self, AssertUnwindSafe},
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use logging::Lines;
use plan::Assignment;
use proto::{
    executor_socket::{self, read_message, write_message},
    v1::{
        ExecutorLog, ExecutorProgress, ExecutorReady, ExecutorSpans, FromExecutor, Progress,
        RunTask, TaskDone, TaskFailed, ToExecutor, from_executor, to_executor,
    },
};
use store::Stores;
use tokio::runtime::{Handle, Runtime};
use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
    layer::SubscriberExt,
};
use types::{Device, Failure, FailureClass, LeaseNumber, OutputObject, TraceContext};

use crate::{
    attempt::Attempt,
    attempt_log::{AttemptLog, SEGMENT_BYTES},
    error::{TaskError, one_line},
    handover, kept,
    stages::{lock, reset_peak_memory},
    tasks,
};

const PROGRESS_EVERY: Duration = Duration::from_millis(500);
const SEGMENT_EVERY: Duration = Duration::from_secs(10);

/// Names the configuration file; set by the agent.
const CONFIG_VARIABLE: &str = "NIGHTSHIFT_CONFIG";

/// Where the last panic happened, for the failure's message.
static PANIC_PLACE: Mutex<Option<String>> = Mutex::new(None);

/// Serves the agent at the other end of the inherited socket until it closes.
pub fn serve() -> anyhow::Result<()> {
    let socket =
        executor_socket::inherited().context("`executor --probe` describes the machine instead")?;
    let taken_over = handover::take_over()?;
    panic::set_hook(Box::new(|info| {
        let place = info
            .location()
            .map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        // If the process dies of it, these are its last words.
        eprintln!(
            "panic at {place}: {}",
            info.payload_as_str().unwrap_or("no message")
        );
        lock(&PANIC_PLACE).get_or_insert(place);
    }));
    let agent = Agent(Arc::new(Mutex::new(socket.try_clone()?)));
    let told = agent.clone();
    AttemptLog::tell_with(Box::new(move |lease, segment, text| {
        told.send(from_executor::Message::Log(ExecutorLog {
            lease: lease.0,
            segment,
            text: text.to_owned(),
        }));
    }));
    let log = Lines {
        json: AttemptLog::json(),
        sink: AttemptLog,
    };
    let silent = logging::TOLD_BY_US.map(|library| (library, LevelFilter::OFF));
    let heard = Targets::new().with_default(LevelFilter::INFO);
    let log = log.with_filter(heard.with_targets(silent));
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(log))?;
    let runtime = Runtime::new()?;
    let config = std::env::var_os(CONFIG_VARIABLE).map(PathBuf::from);
    let stores = Stores::read(config.as_deref())?;
    let ready = from_executor::Message::Ready(ExecutorReady {
        // Loading them to see whether they load costs seconds and memory: that is what `executor --probe` is for.
        engines: engines::Choice::ALL
            .iter()
            .skip(1)
            .map(|(_, name)| (*name).to_owned())
            .collect(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    });
    // The agent has heard it from the program that handed over.
    if taken_over.is_none() {
        agent.send(ready);
    }
    receive(socket, taken_over, &agent, &stores, runtime.handle())
}

/// A task that was begun: its lease, the flag that cancels it, its thread.
type Begun = (LeaseNumber, Arc<AtomicBool>, thread::JoinHandle<()>);

/// Never returns while the agent lives: its death, or its wish, ends the process at once, whatever is being computed.
fn receive(
    mut socket: UnixStream,
    first: Option<RunTask>,
    agent: &Agent,
    stores: &Stores,
    runtime: &Handle,
) -> anyhow::Result<()> {
    let mut current = first.and_then(|run| begin(run, agent, stores, runtime));
    loop {
        match read_message::<ToExecutor>(&mut socket) {
            Ok(None) => leave(),
            Err(error) => {
                // Its last words: the agent tells them with the failure.
                eprintln!("executor: cannot read from the worker: {error}");
                return Err(error.into());
            }
            Ok(Some(message)) => match message.message {
                Some(to_executor::Message::Run(run)) => {
                    if let Some((_, _, thread)) = current.take() {
                        let _ = thread.join();
                    }
                    current = begin(run, agent, stores, runtime);
                }
                Some(to_executor::Message::Cancel(cancel)) => {
                    if let Some((_, cancelled, _)) = current
                        .as_ref()
                        .filter(|(lease, _, _)| lease.0 == cancel.lease)
                    {
                        cancelled.store(true, Ordering::Relaxed);
                    }
                }
                None => tracing::warn!("a message of a kind that this version does not know"),
            },
        }
    }
}

/// Starts the task on its own thread, so that this one goes on hearing the agent: a store may hang at the first touch.
fn begin(run: RunTask, agent: &Agent, stores: &Stores, runtime: &Handle) -> Option<Begun> {
    let lease = LeaseNumber(run.lease);
    let assignment: Assignment = match serde_json::from_str(&run.assignment_json) {
        Ok(assignment) => assignment,
        Err(error) => {
            let message = format!("unreadable assignment: {error}");
            agent.fail(lease, TaskError::Assignment(message).failure());
            return None;
        }
    };
    let device: Device = match run.device.parse() {
        Ok(device) => device,
        Err(error) => {
            agent.fail(lease, TaskError::Assignment(one_line(&error)).failure());
            return None;
        }
    };
    // Here and not on the task's thread: nobody may read from the socket when the other program takes it over.
    if handover::needed(&assignment) {
        let error = handover::hand_over(&lock(&agent.0), &run);
        agent.fail(lease, error.failure());
        return None;
    }
    if assignment.confined {
        stores.confine();
    }
    kept::begin(&assignment.task.job, tasks::score_images(&assignment));
    reset_peak_memory();
    let traced = Traced::of(&run);
    let context = traced.as_ref().map(|traced| &traced.own);
    AttemptLog::begin(&assignment, context.or(assignment.trace.as_ref()));
    let cancelled = Arc::new(AtomicBool::new(false));
    let (agent, stores, runtime, flag) = (
        agent.clone(),
        stores.clone(),
        runtime.clone(),
        cancelled.clone(),
    );
    let task = thread::Builder::new()
        .name("task".to_owned())
        .spawn(move || {
            let threads = usize::try_from(run.threads).unwrap_or(1);
            let scratch = PathBuf::from(run.scratch);
            match Attempt::open(assignment, stores, scratch, threads, device, runtime, flag) {
                Ok(attempt) => execute(&attempt, &agent, traced.as_ref()),
                Err(error) => agent.fail(lease, error.failure()),
            }
        });
    match task {
        Ok(thread) => Some((lease, cancelled, thread)),
        Err(_) => leave(),
    }
}

/// Where the attempt stands in its job's trace, if the agent wants to hear of it.
struct Traced {
    /// The agent's span of the task.
    parent: TraceContext,
    own: TraceContext,
}

impl Traced {
    fn of(run: &RunTask) -> Option<Self> {
        let parent = TraceContext::from_headers(&run.traceparent, Some(&run.tracestate)).ok()?;
        let own = parent.child("execute", 0);
        Some(Self { parent, own })
    }

    /// What the attempt took, as spans.
    fn measured(&self, attempt: &Attempt, failure: Option<&str>) -> from_executor::Message {
        let assignment = &attempt.assignment;
        let name = format!("execute {}", assignment.spec.kind());
        let mut spans = attempt
            .stages
            .spans(name, &self.own, &self.parent)
            .into_iter();
        let whole = spans.next().map(|span| {
            let span = span
                .with("nightshift.job", assignment.task.job.as_str())
                .with("nightshift.task", assignment.task.to_string());
            match failure {
                Some(failure) => span.failed(failure),
                None => span,
            }
        });
        from_executor::Message::Spans(ExecutorSpans {
            spans: whole.into_iter().chain(spans).map(Into::into).collect(),
        })
    }
}

/// Runs the task with its reporter beside it, then says how it went.
fn execute(attempt: &Attempt, agent: &Agent, traced: Option<&Traced>) {
    let lease = attempt.assignment.lease;
    let ended = Ended::default();
    *lock(&PANIC_PLACE) = None;
    let outcome = thread::scope(|scope| {
        scope.spawn(|| report(attempt, agent, &ended));
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| run_and_seal(attempt)));
        ended.set();
        outcome
    });
    let tell = |failure: Option<&str>| {
        if let Some(traced) = traced {
            agent.send(traced.measured(attempt, failure));
        }
    };
    match outcome {
        Ok(Ok((result_json, outputs))) => match serde_json::to_string(&outputs) {
            Ok(outputs_json) => {
                tell(None);
                agent.send(from_executor::Message::Done(TaskDone {
                    lease: lease.0,
                    result_json,
                    outputs_json,
                }));
            }
            Err(error) => agent.fail(
                lease,
                Failure {
                    class: FailureClass::Internal,
                    message: one_line(&error),
                },
            ),
        },
        Ok(Err(error)) => {
            let failure = error.failure();
            tracing::error!(class = failure.class.as_str(), "{}", failure.message);
            flush_log(attempt);
            tell(Some(&failure.message));
            if failure.class == FailureClass::Crashed {
                // Its last words: a GPU that has refused to go on refuses whatever else this process asks of it.
                eprintln!("executor: {}", failure.message);
                end(1);
            }
            agent.fail(lease, failure);
        }
        Err(panic) => {
            let message = panic_message(panic.as_ref());
            tracing::error!("{message}");
            flush_log(attempt);
            tell(Some(&message));
            agent.fail(
                lease,
                Failure {
                    class: FailureClass::Internal,
                    message,
                },
            );
        }
    }
}

fn run_and_seal(attempt: &Attempt) -> Result<(String, Vec<OutputObject>), TaskError> {
    tracing::info!(
        kind = attempt.assignment.spec.kind().as_str(),
        threads = attempt.threads,
        device = %attempt.device,
        "started"
    );
    attempt.check_device()?;
    let mut result = tasks::run(attempt)?;
    result.timings = attempt.stages.timings();
    for timing in &result.timings {
        tracing::info!(
            stage = timing.stage,
            seconds = timing.wall_s,
            busy = timing.busy_s,
            blocked = timing.blocked_s,
            items = timing.items,
            bytes = timing.bytes,
            "timing"
        );
    }
    tracing::info!("finished");
    let json =
        serde_json::to_string(&result).map_err(|error| TaskError::Assignment(error.to_string()))?;
    flush_log(attempt);
    Ok((json, attempt.runtime.block_on(attempt.writer.finish())?))
}

/// Sends progress twice a second and log segments when they are due, until the task has ended.
fn report(attempt: &Attempt, agent: &Agent, ended: &Ended) {
    let mut last_segment = Instant::now();
    loop {
        let stages = &attempt.stages;
        let progress = stages.progress();
        agent.send(from_executor::Message::Progress(ExecutorProgress {
            lease: attempt.assignment.lease.0,
            progress: Some(Progress {
                stage: progress.stage,
                done: progress.done,
                total: progress.total,
                rate: progress.rate,
            }),
            pulse: stages.pulse.beats(),
            loading: stages.loading(),
        }));
        if ended.wait(PROGRESS_EVERY) {
            return;
        }
        if AttemptLog::pending() >= SEGMENT_BYTES || last_segment.elapsed() >= SEGMENT_EVERY {
            last_segment = Instant::now();
            flush_log(attempt);
        }
    }
}

/// Held from taking a segment until it is stored: the reporter's and the task's own flush would write the same one.
static FLUSHING: Mutex<()> = Mutex::new(());

/// Stores what the log has gathered. A log that cannot be stored is no reason to fail the task.
fn flush_log(attempt: &Attempt) {
    let _alone = lock(&FLUSHING);
    let (segment, text) = AttemptLog::take();
    if text.is_empty() {
        return;
    }
    let name = store::layout::log_segment(segment);
    let put = attempt.writer.put(&name, text.clone().into(), None);
    match attempt.runtime.block_on(put) {
        Ok(_) => AttemptLog::stored(),
        Err(error) => {
            AttemptLog::give_back(text);
            eprintln!("executor: cannot store the log: {}", one_line(&error));
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let what = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    let place = lock(&PANIC_PLACE).take();
    format!(
        "panic at {}: {}",
        place.as_deref().unwrap_or("an unknown place"),
        what.unwrap_or("no message")
    )
}

/// Set once, waited for with a limit.
#[derive(Default)]
struct Ended {
    flag: Mutex<bool>,
    changed: Condvar,
}

impl Ended {
    fn set(&self) {
        *lock(&self.flag) = true;
        self.changed.notify_all();
    }

    fn wait(&self, limit: Duration) -> bool {
        let waited = self
            .changed
            .wait_timeout_while(lock(&self.flag), limit, |ended| !*ended);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// The agent at the other end.
#[derive(Clone)]
struct Agent(Arc<Mutex<UnixStream>>);

impl Agent {
    fn send(&self, message: from_executor::Message) {
        if write_message(
            &mut *lock(&self.0),
            &FromExecutor {
                message: Some(message),
            },
        )
        .is_err()
        {
            leave();
        }
    }

    fn fail(&self, lease: LeaseNumber, failure: Failure) {
        let (class, message) = (failure.class.as_str().to_owned(), failure.message);
        self.send(from_executor::Message::Failed(TaskFailed {
            lease: lease.0,
            class,
            message,
        }));
    }
}

fn leave() -> ! {
    end(0)
}

/// Without exit handlers: native libraries' threads may be in the middle of a computation.
fn end(code: i32) -> ! {
    // SAFETY: ends the process; nothing runs after it.
    unsafe { libc::_exit(code) }
}
