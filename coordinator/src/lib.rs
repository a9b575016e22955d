//! The program `coordinator` as a library: what starts, in which order, and how it ends.

mod access;
mod event_loop;
mod grpc;
mod handle;
mod incoming;
mod journal;
mod listen;
mod numbers;
mod pace;
mod publisher;
mod refusals;
mod settings;
mod socket;
mod state_folder;
mod state_store;
mod stop;
mod sweeper;
mod traces;
mod wake_ups;
mod webhook;

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use coordinator_core::{Core, RebuildError};
use monitoring::HttpError;
use queue::{BrokerError, SettingsError};
use spans::Spans;
use store::{ConfigError, Stores};
use tokio::sync::{mpsc::unbounded_channel, oneshot};
use types::chain;

pub use settings::Settings;

use crate::{
    event_loop::{EventLoop, Orders},
    handle::{Changes, Handle},
    listen::{ListenError, Network},
    settings::LeaseError,
    state_folder::{StateFolder, StateFolderError},
    state_store::{Origin, StateStore, StateStoreError},
    stop::Requests,
    wake_ups::WakeUps,
    webhook::{Webhook, WebhookError},
};

/// How long calls under way may take to end once the coordinator was asked to.
const GRACE: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error(transparent)]
    Folder(#[from] StateFolderError),
    #[error(transparent)]
    Store(#[from] StateStoreError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("the database {} contradicts itself", path.display())]
    Rebuild { path: PathBuf, source: RebuildError },
    #[error("cannot listen on {}", path.display())]
    Listen { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Queue(#[from] SettingsError),
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error(transparent)]
    Lease(#[from] LeaseError),
    #[error(transparent)]
    Webhook(#[from] WebhookError),
    #[error(transparent)]
    Network(#[from] ListenError),
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("the server for monitoring failed")]
    ServeHttp { source: io::Error },
    #[error("cannot start")]
    Start { source: io::Error },
    #[error("the server failed")]
    Serve { source: tonic::transport::Error },
    #[error("the loop panicked")]
    Panicked,
}

impl RunError {
    /// Exit codes are documented at [`Settings`].
    fn exit_code(&self) -> u8 {
        match self {
            Self::Folder(StateFolderError::NoHome)
            | Self::Config(_)
            | Self::Lease(_)
            | Self::Webhook(_)
            | Self::Queue(_)
            | Self::Broker(BrokerError::Settings(_)) => 2,
            Self::Broker(error) if error.is_denial() => 5,
            Self::Network(ListenError::Bind { .. }) | Self::Http(HttpError::Bind { .. }) => 6,
            Self::Network(_) | Self::Http(_) => 2,
            Self::Folder(StateFolderError::Io { source, .. }) | Self::Listen { source, .. }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                5
            }
            _ => 6,
        }
    }
}

/// Runs the program to its end.
pub fn run(settings: Settings) -> ExitCode {
    checked(&settings, |checked| serve(&settings, checked))
}

/// Prints the merged settings, and ends as a run would that finds something wrong with them.
pub fn show(settings: Settings, text: String) -> ExitCode {
    ::settings::print(&text);
    checked(&settings, |checked| {
        ::settings::print(&checked.stores.shown());
        Ok(())
    })
}

/// Checks the settings, then does something with what came of that; says what went wrong.
fn checked(settings: &Settings, act: impl FnOnce(Checked) -> Result<(), RunError>) -> ExitCode {
    if let Err(error) = logging::start(&settings.logging, serde_json::Map::new()) {
        eprintln!("coordinator: {}", chain(&error));
        return ExitCode::from(2);
    }
    for warning in ::settings::unknown_variables(settings.file.config.as_deref()) {
        tracing::warn!("{warning}");
    }
    match Checked::of(settings).and_then(act) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = chain(&error), "ending");
            ExitCode::from(error.exit_code())
        }
    }
}

/// What the settings come to, as far as that can be told without network and state folder.
struct Checked {
    network: Option<Network>,
    http: Option<SocketAddr>,
    stores: Stores,
    broker: Option<queue::Settings>,
    webhook: Option<Webhook>,
    state: PathBuf,
}

impl Checked {
    fn of(settings: &Settings) -> Result<Self, RunError> {
        settings.check()?;
        Ok(Self {
            network: Network::of(settings)?,
            http: monitoring::address(settings.http.as_deref(), settings.http_insecure)?,
            stores: Stores::read(settings.file.config.as_deref())?,
            broker: settings.queue.settings("coordinator")?,
            webhook: settings.webhook.webhook()?,
            state: settings
                .state
                .clone()
                .or_else(proto::local::default_state_folder)
                .ok_or(StateFolderError::NoHome)?,
        })
    }
}

fn serve(settings: &Settings, checked: Checked) -> Result<(), RunError> {
    let Checked {
        network,
        http,
        stores,
        broker,
        webhook,
        state,
    } = checked;
    let confined = network.as_ref().is_some_and(Network::is_open);
    if confined {
        stores.confine();
    }
    let mut folder = StateFolder::open(&state)?;
    let origin = if settings.restored {
        Origin::Restored
    } else {
        Origin::Own {
            last_epoch: folder.last_epoch(),
        }
    };
    let store = StateStore::open(&folder.database(), origin)?;
    folder.sign(store.epoch())?;

    let started = Instant::now();
    let rows = store.load()?;
    let (jobs, attempts) = (rows.jobs.len(), rows.attempts.len());
    let core = Core::rebuild(
        settings.core(broker.as_ref(), confined),
        rows,
        store.epoch(),
        event_loop::now(started),
    )
    .map_err(|source| RunError::Rebuild {
        path: folder.database(),
        source,
    })?;
    tracing::info!(state = %folder.path().display(), epoch = store.epoch().0, jobs, attempts, rebuild_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX), "state read");

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|source| RunError::Start { source })?;
    let spans = {
        let _inside = runtime.enter();
        Spans::start("nightshift-coordinator", |why| tracing::warn!("{why}"))
    };
    let wake_ups = match broker {
        Some(broker) => runtime.block_on(async {
            queue::check_at_start(&broker, &wake_ups::pools(&core)).await?;
            Ok::<_, BrokerError>(Some(Arc::new(WakeUps::start(broker))))
        })?,
        None => None,
    };
    let requests = {
        let _entered = runtime.enter();
        Requests::watch(settings.exit_with_stdin).map_err(|source| RunError::Start { source })?
    };

    let changes = Arc::new(Changes::default());
    let (handle, inbox) = Handle::new(
        changes.clone(),
        stores.clone(),
        wake_ups.clone(),
        webhook.map(Arc::new),
        spans.clone(),
        store.commit_times(),
    );
    let (deliveries, outbox) = unbounded_channel();
    let (ordered, to_publish) = unbounded_channel();
    let (deletions, to_delete) = unbounded_channel();
    let event_loop = EventLoop::new(
        core,
        store,
        inbox,
        changes.clone(),
        Orders {
            deliveries,
            wake_ups: ordered,
            deletions,
        },
        spans.clone(),
        started,
    );
    let (ended, mut loop_ended) = oneshot::channel();
    let thread = thread::Builder::new()
        .name("loop".to_owned())
        .spawn(move || {
            let outcome = event_loop.run();
            // Nobody listens once the process is ending anyway.
            let _ = ended.send(());
            outcome
        })
        .map_err(|source| RunError::Start { source })?;

    let served = runtime.block_on(async {
        let listener = socket::listen(&folder.socket()).map_err(|source| RunError::Listen {
            path: folder.socket(),
            source,
        })?;
        tokio::spawn(publisher::publish(outbox, handle.clone()));
        tokio::spawn(sweeper::sweep(to_delete, handle.clone()));
        if let Some(wake_ups) = wake_ups {
            tokio::spawn(wake_ups.publish(to_publish, handle.clone()));
        }
        // A store that does not answer now is no reason not to start: its jobs wait and say why.
        tokio::spawn(async move { stores.probe().await });
        let (close, closed) = oneshot::channel::<()>();
        let server = tokio::spawn(grpc::serve(handle.clone(), listener, async {
            let _ = closed.await;
        }));
        let beyond = match &network {
            Some(network) => Some(network.bind().await?),
            None => None,
        };
        let (close_beyond, closed_beyond) = oneshot::channel::<()>();
        let remote = tokio::spawn(grpc::serve_network(
            handle.clone(),
            network.zip(beyond),
            async {
                let _ = closed_beyond.await;
            },
        ));
        let (close_http, closed_http) = oneshot::channel::<()>();
        let http = match http {
            Some(address) => Some(monitoring::bind(address).await?),
            None => None,
        };
        let watched = handle.clone();
        let http = tokio::spawn(async move {
            match http {
                Some(listener) => {
                    let ends = async { drop(closed_http.await) };
                    monitoring::serve(listener, watched, ends).await
                }
                None => Ok(()),
            }
        });
        tracing::info!(socket = %folder.socket().display(), "listening");
        tokio::select! {
            why = requests.asked() => {
                tracing::info!(why, "ending");
                // First: who came now would only be turned away, and who finds no socket waits for the folder's lock.
                let _ = std::fs::remove_file(folder.socket());
                handle.stop();
                // Whatever had arrived before is answered first.
                let _ = tokio::time::timeout(GRACE, &mut loop_ended).await;
            }
            // By itself only if a commit failed.
            _ = &mut loop_ended => {}
        }
        // Nobody has to wait for news any more.
        changes.close();
        let _ = close.send(());
        let _ = close_beyond.send(());
        let _ = close_http.send(());
        let ends = async { ([server.await, remote.await], http.await) };
        let ended = tokio::time::timeout(GRACE, ends).await;
        spans.flush().await;
        match ended {
            Ok((servers, http)) => servers
                .into_iter()
                .flatten()
                .collect::<Result<(), _>>()
                .map_err(|source| RunError::Serve { source })
                .and(
                    http.unwrap_or(Ok(()))
                        .map_err(|source| RunError::ServeHttp { source }),
                ),
            Err(_) => Ok(()),
        }
    });
    runtime.shutdown_background();
    // While the lock is held the socket is ours.
    let _ = std::fs::remove_file(folder.socket());
    handle.stop();
    thread.join().map_err(|_| RunError::Panicked)??;
    served
}
