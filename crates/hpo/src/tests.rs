//! What every search keeps to, whatever the space and whatever the trials come to.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::*;

fn values(name: &str, values: Value) -> Dimension {
    Dimension {
        name: name.to_owned(),
        domain: Domain::Values(values.as_array().expect("a list").clone()),
        when: vec![],
    }
}

fn float(name: &str, min: f64, max: f64, scale: Scale) -> Dimension {
    Dimension {
        name: name.to_owned(),
        domain: Domain::Float { min, max, scale },
        when: vec![],
    }
}

fn integer(name: &str, min: i64, max: i64, scale: Scale) -> Dimension {
    Dimension {
        name: name.to_owned(),
        domain: Domain::Integer { min, max, scale },
        when: vec![],
    }
}

fn when(dimension: Dimension, on: usize, values: &[u32]) -> Dimension {
    Dimension {
        when: vec![Condition {
            dimension: on,
            values: values.to_vec(),
        }],
        ..dimension
    }
}

fn search(method: Method, space: Vec<Dimension>) -> Search {
    Search {
        space: Space { dimensions: space },
        method,
        goal: Goal::Minimize,
        trials: 30,
        concurrency: 1,
        seed: 0,
    }
}

/// Of every kind: layers depend on the backbone, a rate counts with one of them only.
fn mixed() -> Vec<Dimension> {
    vec![
        values("backbone", json!(["a", "b", "c"])),
        when(values("layers", json!([["1"], ["1", "2"]])), 0, &[0]),
        when(values("layers", json!([["x"], ["y"], ["z"]])), 0, &[1, 2]),
        integer("features", 5, 300, Scale::Log),
        when(float("rate", 1e-4, 1.0, Scale::Log), 0, &[2]),
        float("offset", -1.0, 1.0, Scale::Linear),
    ]
}

const METHODS: [Method; 4] = [
    Method::Random,
    Method::Tpe,
    Method::GaussianProcess,
    Method::SuccessiveHalving(Halving {
        min: 0.1,
        factor: 3,
    }),
];

/// Runs a search to its end.
fn run(search: &Search, mut value: impl FnMut(usize, &Point) -> Option<f64>) -> Vec<Trial> {
    let mut trials = Vec::new();
    while let Some(next) = search.suggest(&trials) {
        let value = value(trials.len(), &next.point);
        trials.push(Trial {
            point: next.point,
            value,
        });
    }
    trials
}

fn number(space: &Space, point: &Point, name: &str) -> Option<f64> {
    let mut values = space.values(point);
    values.find(|(of, _)| *of == name)?.1.as_f64()
}

fn bowl(space: &Space, point: &Point) -> f64 {
    let x = number(space, point, "x").unwrap_or(0.0);
    let y = number(space, point, "y").unwrap_or(0.0);
    (x - 0.3) * (x - 0.3) + 3.0 * (y + 0.2) * (y + 0.2)
}

fn plane() -> Vec<Dimension> {
    vec![
        float("x", -1.0, 1.0, Scale::Linear),
        float("y", -1.0, 1.0, Scale::Linear),
    ]
}

#[test]
fn a_grid_is_every_combination_once_the_last_dimension_fastest() {
    let mut grid = search(Method::Grid, mixed()[..3].to_vec());
    assert_eq!(grid.len(), 2 + 3 + 3);
    let trials = run(&grid, |_, _| None);
    let all: Vec<String> = trials
        .iter()
        .map(|trial| {
            let values = grid.space.values(&trial.point);
            let values: Vec<String> = values.map(|(_, value)| value.to_string()).collect();
            values.join(" ")
        })
        .collect();
    let expected = [
        r#""a" ["1"]"#,
        r#""a" ["1","2"]"#,
        r#""b" ["x"]"#,
        r#""b" ["y"]"#,
        r#""b" ["z"]"#,
        r#""c" ["x"]"#,
        r#""c" ["y"]"#,
        r#""c" ["z"]"#,
    ];
    assert_eq!(all, expected);
    grid.trials = 3;
    assert_eq!(run(&grid, |_, _| None).len(), 3);
}

#[test]
fn a_grid_without_end_is_refused() {
    let many: Vec<u32> = (0..1000).collect();
    let space = ["a", "b"].map(|name| values(name, json!(many)));
    let grid = search(Method::Grid, space.to_vec());
    assert_eq!(grid.check(), Err(SearchError::Grid));
    let range = search(Method::Grid, plane());
    assert_eq!(range.check(), Err(SearchError::Grid));
}

#[test]
fn spaces_that_are_none_are_refused() {
    let name = || "n".to_owned();
    let wrong = [
        (values("n", json!([])), SpaceError::NoValues(name())),
        (
            float("n", 1.0, 1.0, Scale::Linear),
            SpaceError::Range(name()),
        ),
        (
            float("n", 0.0, f64::NAN, Scale::Linear),
            SpaceError::Range(name()),
        ),
        (float("n", 0.0, 1.0, Scale::Log), SpaceError::Log(name())),
        (
            integer("n", 0, 1 << 40, Scale::Linear),
            SpaceError::TooWide(name()),
        ),
        (
            when(float("n", 0.0, 1.0, Scale::Linear), 0, &[0]),
            SpaceError::Condition(name()),
        ),
    ];
    for (dimension, error) in wrong {
        let space = Space {
            dimensions: vec![dimension],
        };
        assert_eq!(space.check(), Err(error));
    }
    assert_eq!(Space::default().check(), Err(SpaceError::Empty));
}

#[test]
fn halving_gives_the_best_more_and_the_last_rung_everything() {
    let halving = Halving {
        min: 0.1,
        factor: 3,
    };
    let mut search = search(Method::SuccessiveHalving(halving), plane());
    search.trials = 40;
    search.concurrency = 50;
    let space = search.space.clone();
    let mut trials: Vec<Trial> = Vec::new();
    let mut shares = Vec::new();
    while let Some(next) = search.suggest(&trials) {
        shares.push(next.share);
        // The fifth of each rung fails.
        let value = (trials.len() != 5).then(|| bowl(&space, &next.point));
        trials.push(Trial {
            point: next.point,
            value,
        });
    }
    // 28 + 9 + 3 trials with 1/9, 1/3 and all.
    let count = |share: f64| {
        shares
            .iter()
            .filter(|of| (**of - share).abs() < 1e-12)
            .count()
    };
    assert_eq!((count(1.0 / 9.0), count(1.0 / 3.0), count(1.0)), (28, 9, 3));
    // However many may be under way, a rung waits for the one before.
    assert_eq!(
        [0, 27, 28, 36, 37, 39].map(|n| search.settled_before(n)),
        [0, 0, 28, 28, 37, 37]
    );
    let best = search.best(&trials).unwrap();
    assert!(best >= 37, "the best has had everything: {best}");
    let all = trials
        .iter()
        .filter_map(|trial| trial.value)
        .fold(f64::INFINITY, f64::min);
    assert_eq!(
        trials[best].value,
        Some(all),
        "and what is best at first stays"
    );
}

#[test]
fn methods_that_learn_find_more_than_chance_does() {
    let found = |method| -> f64 {
        let regret = |seed| {
            let mut search = search(method, plane());
            (search.trials, search.seed) = (40, seed);
            let space = search.space.clone();
            let trials = run(&search, |_, point| Some(bowl(&space, point)));
            trials
                .iter()
                .filter_map(|trial| trial.value)
                .fold(f64::INFINITY, f64::min)
        };
        (0..10).map(|seed| regret(seed).ln()).sum::<f64>() / 10.0
    };
    let (random, tpe, process) = (
        found(Method::Random),
        found(Method::Tpe),
        found(Method::GaussianProcess),
    );
    assert!(tpe < random - 1.0, "TPE {tpe}, random {random}");
    assert!(process < tpe - 3.0, "Gaussian process {process}, TPE {tpe}");
}

#[test]
fn a_goal_turned_round_is_the_same_search() {
    for method in METHODS {
        let down = search(method, plane());
        let up = Search {
            goal: Goal::Maximize,
            ..down.clone()
        };
        let space = down.space.clone();
        let points = |trials: Vec<Trial>| -> Vec<Point> {
            trials.into_iter().map(|trial| trial.point).collect()
        };
        let low = points(run(&down, |_, point| Some(bowl(&space, point))));
        let high = points(run(&up, |_, point| Some(-bowl(&space, point))));
        assert_eq!(low, high);
    }
}

#[test]
fn small_spaces_are_searched_without_doing_anything_twice() {
    for method in [Method::Tpe, Method::GaussianProcess] {
        let mut search = search(
            method,
            vec![
                values("v", json!([0, 1, 2, 3, 4, 5])),
                integer("n", 1, 8, Scale::Linear),
            ],
        );
        search.trials = 40;
        let space = search.space.clone();
        let trials = run(&search, |_, point| number(&space, point, "n"));
        let learned: std::collections::HashSet<&Point> =
            trials[10..].iter().map(|trial| &trial.point).collect();
        assert_eq!(learned.len(), 30, "{method:?}");
    }
}

#[test]
fn ten_thousand_trials_do_not_slow_a_search_down() {
    let mut search = search(Method::Tpe, mixed());
    search.trials = MOST_TRIALS;
    let mut points = crate::random::Draws::new(1, 1);
    let trials: Vec<Trial> = (0..MOST_TRIALS - 1)
        .map(|_| Trial {
            point: search.space.point(|_, domain| domain.place(points.unit())),
            value: Some(points.unit()),
        })
        .collect();
    assert!(search.suggest(&trials).is_some());
    search.method = Method::GaussianProcess;
    assert!(search.suggest(&trials).is_some());
}

/// What trials come to: mostly numbers, some failures, some that are no numbers.
fn any_value() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        6 => (-1e3..1e3).prop_map(Some),
        1 => Just(None),
        1 => prop::sample::select(vec![Some(f64::NAN), Some(f64::INFINITY), Some(0.0), Some(1e300)]),
    ]
}

fn any_search() -> impl Strategy<Value = Search> {
    (
        prop::sample::select(METHODS.to_vec()),
        1u32..5,
        any::<u64>(),
        any::<bool>(),
    )
        .prop_map(|(method, concurrency, seed, up)| Search {
            concurrency,
            seed,
            goal: if up { Goal::Maximize } else { Goal::Minimize },
            ..search(method, mixed())
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_search_is_the_same_whoever_does_its_trials(search in any_search(), drawn in prop::collection::vec(any_value(), 30)) {
        let alone = run(&search, |n, _| drawn[n]);
        prop_assert!(alone.len() <= 30 && alone.len() == search.len());
        // What has not settled by then, or has but does not count yet, is not looked at.
        for n in 0..alone.len() {
            let settled = search.settled_before(n);
            let mut others = alone[..n].to_vec();
            others[settled..].iter_mut().for_each(|trial| trial.value = None);
            prop_assert_eq!(search.suggest(&others).map(|next| next.point), Some(alone[n].point.clone()));
        }
    }

    #[test]
    fn every_point_lies_in_the_space(search in any_search(), drawn in prop::collection::vec(any_value(), 30)) {
        for trial in run(&search, |n, _| drawn[n]) {
            let places = &trial.point.0;
            let values: std::collections::HashMap<&str, Value> = search.space.values(&trial.point).collect();
            prop_assert_eq!(values.len(), places.iter().flatten().count());
            let features = values["features"].as_i64().unwrap();
            prop_assert!((5..=300).contains(&features));
            let offset = values["offset"].as_f64().unwrap();
            prop_assert!((-1.0..=1.0).contains(&offset));
            let layers = &values["layers"];
            let of_a = layers == &json!(["1"]) || layers == &json!(["1", "2"]);
            prop_assert_eq!(values["backbone"] == "a", of_a);
            let rate = values.get("rate").and_then(Value::as_f64);
            prop_assert_eq!(values["backbone"] == "c", rate.is_some());
            prop_assert!(rate.is_none_or(|rate| (1e-4..=1.0).contains(&rate)));
        }
    }

    #[test]
    fn places_survive_the_way_there_and_back(place in 0u32..296) {
        let domain = integer("n", 5, 300, Scale::Log).domain;
        prop_assert_eq!(domain.place(domain.unit(place)), place);
        let domain = integer("n", -100, 195, Scale::Linear).domain;
        prop_assert_eq!(domain.place(domain.unit(place)), place);
        let domain = float("n", 1e-3, 10.0, Scale::Log).domain;
        let place = place * 14_509_731;
        prop_assert_eq!(domain.place(domain.unit(place)), place);
    }

    #[test]
    fn all_that_fails_is_searched_on(search in any_search()) {
        let trials = run(&search, |n, _| (n % 2 == 0).then_some(f64::NAN));
        prop_assert_eq!(trials.len(), search.len());
        prop_assert_eq!(search.best(&trials), None);
    }
}
