//! Grids that are wrong or too large, and what `--set` does to grids.

use super::*;

fn benchmark(more: &str) -> String {
    RIGHT.replace("train", "benchmark") + more
}

/// `count` numbers, comma-separated.
fn numbers(count: usize) -> String {
    (0..count)
        .map(|number| number.to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

#[test]
fn a_grid_that_is_none_hides_nothing() {
    for (grid, place, more) in [
        ("{grid: []}", 14, &[][..]),
        ("{grid: x}", 14, &[]),
        (
            "{grid: [1, -1], x: 2}",
            8,
            &["job.yaml:9:18: seed: expected an integer"],
        ),
    ] {
        let text = benchmark(&format!("seed: {grid}\ntask: x\n"))
            .replace("Padim", "Padmi")
            .replace("root:", "rot:");
        let this = format!("job.yaml:9:{place}: a grid ");
        let mut expected = vec![
            "job.yaml:3:15: unknown model \"Padmi\"",
            "job.yaml:7:5: MVTec has no parameter \"rot\"",
            &this,
        ];
        expected.extend(more);
        expected.push("job.yaml:10:7: task: expected one of");
        says(&text, &expected);
    }
    // What a required value would be missed for, too.
    for (from, to, place) in [
        ("\n  class_path: Padim", " {grid: []}", "2:15"),
        ("root: data", "root: {grid: []}", "7:18"),
    ] {
        let text = benchmark("").replace(from, to);
        says(&text, &[&format!("job.yaml:{place}: a grid is a list")]);
    }
}

#[test]
fn a_wrong_kind_hides_nothing() {
    for (kind, first) in [
        ("kind: pred\n", "job.yaml:1:7: kind: expected one of"),
        ("\n", "job.yaml:1:1: there is no key `kind`"),
    ] {
        let text = RIGHT
            .replace("kind: train\n", kind)
            .replace("Padim", "Padmi");
        says(
            &format!("{text}seed: {{grid: [1, -1]}}\n"),
            &[
                first,
                "job.yaml:3:15: unknown model \"Padmi\"",
                "job.yaml:9:18: seed: expected",
            ],
        );
    }
}

#[test]
fn too_many_combinations_hide_nothing() {
    let text = benchmark("").replace("bottle", &format!("{{grid: [{}]}}", numbers(101)))
        + &format!("seed: {{grid: [{}, -5]}}\n", numbers(101));
    let errors = wrong(&text);
    assert_eq!(errors.len(), 2, "{errors:#?}");
    // At the grid with the most values.
    assert!(errors[0].starts_with("job.yaml:9:7: the grids have more than 10000"));
    assert!(errors[1].contains("found -5"), "{errors:?}");
}

#[test]
fn what_all_runs_weigh_together_is_bounded() {
    let long = "x".repeat(100_000);
    let seeds = format!("seed: {{grid: [{}]}}\n", numbers(10_000));
    let many: String = (0..20_000)
        .map(|index| format!("    key{index}: {{grid: [1]}}\n"))
        .collect();
    let key = format!("{{{}: ", "k".repeat(1_000));
    let deep = format!(
        "    name: {}{{grid: [1]}}{}\n",
        key.repeat(40),
        "}".repeat(40)
    );
    let wide = format!("    name: {long}\n");
    for heavy in [many, deep, wide] {
        let errors = wrong(&(seeds.clone() + &benchmark(&heavy)));
        assert!(
            errors[0].starts_with("job.yaml:1:7: 10000 runs of up to"),
            "{}",
            errors[0]
        );
    }
    // What is right is not too much.
    let runs = right(&benchmark(&seeds)).job.runs;
    assert_eq!((runs.len(), runs[9_999].seed), (10_000, 9_999));
}

#[test]
fn errors_beyond_the_first_are_said_to_be_there() {
    let seeds: Vec<String> = (1..=300).map(|seed| format!("-{seed}")).collect();
    let errors = wrong(&benchmark(&format!(
        "seed: {{grid: [{}]}}\n",
        seeds.join(", ")
    )));
    assert_eq!(errors.len(), 201);
    assert!(errors[199].contains("found -200"), "{}", errors[199]);
    assert!(
        errors[200].ends_with("and more: these are the first 200 errors"),
        "{}",
        errors[200]
    );
}

#[test]
fn a_value_set_from_outside_reaches_through_grids() {
    let text = "\
kind: benchmark
model: {grid: [Padim, {class_path: Padim, init_args: {n_features: 10}}]}
data:
  grid:
    - {class_path: MVTec, init_args: {root: /a, category: {grid: [x, y]}}}
    - MVTec
";
    let set = [
        ("data.init_args.root", "/elsewhere"),
        ("model.init_args.n_features", "7"),
    ];
    let runs = read_set(text, &set).expect("right").job.runs;
    assert_eq!(runs.len(), 6);
    for run in runs {
        assert_eq!(run.data.init_args["root"], "/elsewhere");
        let ModelSource::Train(model) = &run.model else {
            panic!("trained")
        };
        assert_eq!(model.init_args["n_features"], 7);
    }
    // The demo, as its users would.
    let demo = std::fs::read_to_string(repository("configs/benchmark-demo.yaml")).expect("demo");
    let runs = read_set(&demo, &[("data.init_args.root", "/x")])
        .expect("right")
        .job
        .runs;
    assert!(runs.iter().all(|run| run.data.init_args["root"] == "/x"));
    // The grid itself is one value.
    let one = read_set(&benchmark("seed: {grid: [1, 2]}\n"), &[("seed", "3")]).expect("right");
    assert_eq!(one.job.runs.len(), 1);
}

#[test]
fn the_class_of_a_short_name_can_be_set() {
    let short = RIGHT.replace("\n  class_path: Padim", " Patchcore");
    let run = read_set(&short, &[("model.class_path", "Padim")]).expect("right");
    assert!(
        matches!(&run.job.runs[0].model, ModelSource::Train(class) if class.class_path == "Padim")
    );
}
