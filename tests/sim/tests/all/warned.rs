//! What tasks warn of is told, whatever became of their job.

use types::*;

use crate::{desk::Desk, failed_jobs::train};

const LISTED: &str = "3 images cannot be used";
const SCORED: &str = "1 image could not be scored";

fn of_run(desk: &Desk) -> Vec<String> {
    desk.core.run_warnings(&"job0".parse().unwrap(), 0)
}

fn of_job(desk: &Desk) -> Vec<String> {
    let view = desk.core.job_view(&"job0".parse().unwrap());
    view.unwrap().warnings
}

#[test]
fn a_run_without_an_evaluation_tells_each_warning_of_its_tasks_once() {
    let mut desk = Desk::new();
    let a = desk.register("a", 1);
    desk.submit(train());
    assert_eq!(of_run(&desk), [""; 0]);
    let list = desk.granted(&a, "list");
    desk.complete_warning(&a, &list, &[LISTED]);
    assert_eq!(of_run(&desk), [LISTED], "it is under way");
    let fit = desk.granted(&a, "fit");
    desk.complete(&a, &fit);
    for score in ["one", "two", "three"] {
        let score = desk.granted(&a, score);
        desk.complete_warning(&a, &score, &[SCORED, LISTED]);
    }
    let evaluate = desk.granted(&a, "evaluate");
    desk.fail(&a, evaluate.lease, FailureClass::InvalidInput);
    let reduce = desk.granted(&a, "reduce");
    desk.complete_warning(&a, &reduce, &["pictures are left out"]);
    desk.deliver_all();
    assert_eq!(desk.state("job0"), JobState::Failed);
    desk.restart();
    assert_eq!(of_run(&desk), [LISTED, SCORED]);
    assert_eq!(of_job(&desk), ["pictures are left out"]);

    // The evaluation gathers what the others warn of.
    desk.retry("job0", "again");
    let evaluate = desk.granted(&a, "again");
    desk.complete_warning(&a, &evaluate, &["few images", LISTED]);
    assert_eq!(of_run(&desk), ["few images", LISTED]);
    assert_eq!(of_job(&desk), [""; 0]);
}
