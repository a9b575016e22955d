//! `ctl run`: a job from its file to the result table.

use proto::v1::submit_reply::Outcome;
use proto::v1::{GetJobRequest, Job, ListJobsRequest, RetryRequest, SubmitReply, SubmitRequest};
use serde_json::Value;
use spans::{Beginning, Kind, Span, Spans};
use tonic::{Request, Response, Status};

use crate::cluster::{Cluster, WorkerOptions};
use crate::job_file::{JobFile, ReadJob, print_warnings};
use crate::watch::{Follow, Signals, follow, is_terminal};
use crate::{Common, Error, client, places, resume, rethresholded};

const DEFAULT_SLOTS: u32 = 1;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: JobFile,
    #[command(flatten)]
    begin: Begin,
}

pub async fn run(common: &Common, args: Args) -> Result<(), Error> {
    let read = args.file.read()?;
    let file = args.file.file.display().to_string();
    let words = args.begin.words_after(&["run", &file], &args.file.set);
    run_to_end(common, read, &args.begin, words).await
}

/// How a job begins that is followed to its end.
#[derive(clap::Args)]
pub struct Begin {
    /// Do this once: the same key and the same job go on with what is there, and compute only what is missing; `{today}` and
    /// `{yesterday:%Y-%m-%d}` in it are days
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    key: Option<String>,
    /// Begin a new job even if an unfinished one that is the same is there
    #[arg(long, conflicts_with = "key")]
    new: bool,
    /// Tasks that the private worker does at a time
    #[arg(long, value_name = "N", default_value_t = DEFAULT_SLOTS, value_parser = clap::value_parser!(u32).range(1..=256))]
    slots: u32,
}

impl Begin {
    /// What to type to go on after an interruption. Without `--new`: the job is there.
    pub fn words_after(&self, first: &[&str], set: &[(String, String)]) -> Vec<String> {
        let mut words: Vec<String> = first.iter().map(|word| (*word).to_owned()).collect();
        for (key, value) in set {
            words.extend(["--set".to_owned(), format!("{key}={value}")]);
        }
        if let Some(key) = &self.key {
            words.extend(["--key".to_owned(), key.clone()]);
        }
        if self.slots != DEFAULT_SLOTS {
            words.extend(["--slots".to_owned(), self.slots.to_string()]);
        }
        words
    }
}

/// `words`: what to type to go on after an interruption.
pub async fn run_to_end(
    common: &Common,
    read: ReadJob,
    begin: &Begin,
    words: Vec<String>,
) -> Result<(), Error> {
    let mut signals = Signals::listen()?;
    print_warnings(&read.reading);
    read.check_output()?;
    let place = places::coordinator(common)?;
    // Jobs of another machine's coordinator mean files where its workers are.
    if let proto::Place::State(_) = place {
        read.check_input()?;
    }
    let worker = WorkerOptions {
        pool: read.reading.job.resources.pool.to_string(),
        slots: begin.slots,
    };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let resume = resume::command(common, &words);
    let early = format!("`{resume}` begins it, or goes on with what was begun");
    let opening = Cluster::open_with_worker(&place, common.config(), &worker);
    let mut cluster = signals.or(&early, opening).await?;
    let result = async {
        let request = request(&read, begin.key.as_deref())?;
        let beginning =
            cluster.insist(
                async |cluster| match unfinished(cluster, begin, &read).await? {
                    Some(job) => go_on(cluster, &job).await,
                    None => Ok(send(cluster, &request).await?.job),
                },
            );
        let job = signals.or(&early, beginning).await?;
        // Where others submit, too, the same file is another job, unless its key says that it is this one.
        let resume = if cluster.is_private() || begin.key.is_some() {
            resume
        } else {
            resume::command(common, &["retry", &job, "--wait"])
        };
        let job = follow(
            &mut cluster,
            &Follow {
                place: &place,
                job,
                worker,
                resume,
                anew: None,
            },
            &mut signals,
        )
        .await?;
        let hint = format!(
            "job {} has ended: `ctl results {}` shows it",
            job.id, job.id
        );
        let end = super::results::show_end(common, &mut cluster, &job);
        signals.or(&hint, end).await
    }
    .await;
    cluster.close().await;
    result
}

/// A job that a coordinator has taken.
pub struct Submitted {
    pub job: String,
    /// It had succeeded before.
    pub done: bool,
}

/// Sends the job; says what became of it.
pub async fn submit(
    cluster: &mut Cluster,
    read: &ReadJob,
    key: Option<&str>,
) -> Result<Submitted, Error> {
    let request = request(read, key)?;
    cluster
        .insist(async |cluster| send(cluster, &request).await)
        .await
}

/// May be sent more than once: it is one job.
fn request(read: &ReadJob, key: Option<&str>) -> Result<SubmitRequest, Error> {
    let resolved_json = serde_json::to_string(&read.reading.job)
        .map_err(|source| Error::cannot_run_because("cannot write the job", source))?;
    let key = job::fill_days(key.unwrap_or_default(), &read.reading.now)
        .map_err(|reason| Error::Usage(format!("--key: {reason}")))?;
    Ok(SubmitRequest {
        request_id: client::request_id()?,
        key,
        resolved_json,
        source_yaml: read.text.clone(),
    })
}

async fn send(cluster: &mut Cluster, request: &SubmitRequest) -> Result<Submitted, Error> {
    let reply = traced(cluster, request.clone()).await?.into_inner();
    for warning in &reply.warnings {
        eprintln!("warning: {warning}");
    }
    let words = match reply.outcome() {
        Outcome::Attached => "is open already: joined",
        Outcome::Retried => "had not succeeded: only what is missing is computed",
        Outcome::Done => "has succeeded already: nothing to compute",
        Outcome::Created | Outcome::Unspecified => "submitted",
    };
    eprintln!("job {} {words}", reply.job);
    if matches!(
        reply.outcome(),
        Outcome::Attached | Outcome::Retried | Outcome::Done
    ) {
        let request = GetJobRequest {
            job: reply.job.clone(),
        };
        say_if_rethresholded(cluster.client.get_job(request).await?.get_ref());
    }
    Ok(Submitted {
        done: reply.outcome() == Outcome::Done,
        job: reply.job,
    })
}

/// What is there is not what the file asks for.
fn say_if_rethresholded(job: &Job) {
    if let Some(words) = rethresholded::words(job) {
        eprintln!(
            "note: job {} is decided {words}; `--new`, or another `--key`, makes a job that is decided by the file",
            job.id
        );
    }
}

/// With the span that the job's whole trace hangs from.
async fn traced(
    cluster: &mut Cluster,
    request: SubmitRequest,
) -> Result<Response<SubmitReply>, Status> {
    if !cluster.spans.is_on() {
        cluster.spans = Spans::start("nightshift-ctl", |why| eprintln!("warning: {why}"));
    }
    let parent = spans::of_environment();
    let context = cluster.spans.begin(parent.as_ref(), "ctl submit");
    let (mut request, beginning) = (Request::new(request), Beginning::now());
    spans::carry(&mut request, context.as_ref());
    let reply = cluster.client.submit(request).await;
    if let Some(context) = &context {
        let times = beginning.until_now();
        let span = Span::new("ctl submit", Kind::Client, context, parent.as_ref(), times);
        cluster.spans.record(match &reply {
            Ok(reply) => span.with("nightshift.job", reply.get_ref().job.as_str()),
            Err(status) => span.failed(status.message()),
        });
    }
    reply
}

/// The newest job of the same content that was interrupted or cancelled, if it can only be this user's own: nobody else listens.
async fn unfinished(
    cluster: &mut Cluster,
    begin: &Begin,
    read: &ReadJob,
) -> Result<Option<Job>, Error> {
    if begin.key.is_some() || begin.new || !cluster.is_private() {
        return Ok(None);
    }
    let jobs = cluster
        .client
        .list_jobs(ListJobsRequest {})
        .await?
        .into_inner()
        .jobs;
    let (mut found, mut others) = (None, Vec::new());
    for job in jobs
        .into_iter()
        .filter(|job| !is_terminal(&job.state) || job.state == "cancelled")
    {
        let same = found.is_none()
            && job.name == read.reading.job.name
            && job.key.is_empty()
            && is_same(cluster, &job, read).await?;
        if same {
            found = Some(job);
        } else if job.state != "cancelled" {
            others.push(job.id);
        }
    }
    if !others.is_empty() {
        eprintln!(
            "note: unfinished before, going on as well: job {} (`ctl cancel JOB` ends one)",
            others.join(", ")
        );
    }
    Ok(found)
}

async fn is_same(cluster: &mut Cluster, job: &Job, read: &ReadJob) -> Result<bool, Error> {
    let job = cluster
        .client
        .get_job(GetJobRequest {
            job: job.id.clone(),
        })
        .await?
        .into_inner();
    let theirs: Option<Value> = serde_json::from_str(&job.resolved_json).ok();
    let ours = serde_json::to_value(&read.reading.job).ok();
    Ok(theirs.is_some() && theirs == ours)
}

async fn go_on(cluster: &mut Cluster, job: &Job) -> Result<String, Error> {
    if job.state == "cancelled" {
        cluster
            .client
            .retry(RetryRequest {
                request_id: client::request_id()?,
                job: job.id.clone(),
            })
            .await?;
    }
    eprintln!(
        "job {} of the same file was not finished: going on with it (`--new` begins another)",
        job.id
    );
    say_if_rethresholded(job);
    Ok(job.id.clone())
}
