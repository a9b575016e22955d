//! A night's images, in a folder and in an archive, while executors, agents, the coordinator and the broker are killed.

use broker_harness::{Broker, Options};

use crate::faults::calls::{Fate, Moment};
use crate::faults::{Chance, Site, with_seeds};
use crate::processes::{Signal, until};
use crate::queues::{Queue, on_both_queues};
use crate::quiet::Work;
use crate::sandbox::{LIMIT, Running};

on_both_queues!(every_image_stands_once_whoever_is_killed);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Executor,
    Agent,
    Coordinator,
    Broker,
}

struct Night {
    site: Site,
    worker: Running,
    broker: Option<Broker>,
}

impl Night {
    fn new(queue: Queue) -> Self {
        let mut sandbox = Work::Night.sandbox();
        let broker =
            (queue == Queue::RabbitMq).then(|| Broker::start(&Options::default()).unwrap());
        if let Some(broker) = &broker {
            sandbox.use_broker(&format!("guest@{}/", broker.address()));
        }
        let site = Site::of(sandbox, Work::Night, &[]);
        let worker = site.worker("box", &[]);
        Self {
            site,
            worker,
            broker,
        }
    }

    /// Some of each, in any order. A broker is not killed before its queues are old: a node that is killed right after their
    /// first declaration comes back with broken ones.
    fn victims(&self, chance: &mut Chance) -> Vec<Victim> {
        let mut victims = vec![
            Victim::Executor,
            Victim::Executor,
            Victim::Agent,
            Victim::Coordinator,
        ];
        for last in (1..victims.len()).rev() {
            victims.swap(last, chance.below(last + 1));
        }
        if self.broker.is_some() {
            victims.insert(2 + chance.below(3), Victim::Broker);
        }
        victims
    }

    /// Kills it at a moment of the job, or of another one if that ends before.
    fn kill(&mut self, victim: Victim, chance: &mut Chance) {
        let moment = Moment::ALL[chance.below(Moment::ALL.len())];
        let process = match victim {
            Victim::Agent => Some(self.worker.process()),
            Victim::Coordinator => Some(self.site.coordinator.process()),
            Victim::Executor | Victim::Broker => None,
        };
        eprintln!("{victim:?}");
        if victim == Victim::Coordinator {
            // When it is dead nobody can be asked whether there is still something to do.
            self.site.submit();
        }
        let reached = self.site.calls.at(moment, chance.below(3), move || {
            let Some(process) = process else {
                return Fate::Pass;
            };
            process.signal(Signal::KILL);
            Fate::Lose
        });
        until(&format!("{moment:?}"), LIMIT, || {
            let is_reached = reached.try_recv().is_ok();
            if !is_reached && victim != Victim::Coordinator && self.is_done() {
                self.site.submit();
            }
            is_reached.then_some(())
        });
        match victim {
            Victim::Executor => {
                // It may have got on a little.
                (0..chance.below(6)).for_each(|_| _ = self.is_done());
                let executor = self.worker.program("executor");
                executor.signal(Signal::KILL);
                executor.wait_for_end(LIMIT);
            }
            Victim::Agent => {
                self.worker.process().wait_for_end(LIMIT);
                self.worker = self.site.worker("box", &[]);
            }
            Victim::Coordinator => {
                self.site.kill_coordinator();
                self.site.start_coordinator_again();
            }
            Victim::Broker => {
                let broker = self.broker.as_mut().unwrap();
                broker.kill().unwrap();
                broker.start_again().unwrap();
            }
        }
    }

    /// Whether the newest job has ended.
    fn is_done(&self) -> bool {
        self.site.sandbox.json(&["get", "jobs"])[0]["state"] == "succeeded"
    }
}

fn every_image_stands_once_whoever_is_killed(queue: Queue) {
    let mut night = Night::new(queue);
    with_seeds(|_, chance| {
        night.site.submit();
        for victim in night.victims(chance) {
            night.kill(victim, chance);
        }
        night.site.expect_the_quiet_results_of_all("night");
    });
    night.site.end([night.worker]);
}
