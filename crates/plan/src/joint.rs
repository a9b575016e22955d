//! Which runs look at the same images through the same network, so that one pass serves them all.

use std::collections::HashMap;

use job::resolved::{ModelSource, RunSpec};
use models::{BackboneUse, JointPass, Transform};
use types::TaskIndex;

use crate::{Joint, PlannedRun};

/// Everything that the maps of a backbone depend on, but for the layers that are wanted.
#[derive(PartialEq, Eq, Hash)]
struct Pass {
    /// The listing: the same images.
    list: TaskIndex,
    transform: Transform,
    backbone: &'static str,
    /// Of random weights; `None`: those of the weights folder.
    seed: Option<u64>,
}

/// Marks the runs that share a pass with others. `lists` has each run's listing.
pub(crate) fn mark(runs: &mut [PlannedRun], lists: &[TaskIndex]) {
    let mut passes: HashMap<Pass, Vec<(usize, BackboneUse)>> = HashMap::new();
    for (index, (run, list)) in runs.iter().zip(lists).enumerate() {
        if let Some((transform, used)) = view(&run.spec) {
            let pass = Pass {
                list: *list,
                transform,
                backbone: used.name,
                seed: (!used.pre_trained).then_some(run.spec.seed),
            };
            passes.entry(pass).or_default().push((index, used));
        }
    }
    for sharing in passes.into_values().filter(|sharing| sharing.len() > 1) {
        let layers = JointPass::layers(sharing.iter().map(|(_, used)| used));
        for (place, (index, _)) in (0..).zip(&sharing) {
            runs[*index].joint = Some(Joint {
                layers: layers.clone(),
                place,
                // The reader bounds the number of runs far below `u32::MAX`.
                runs: sharing.len() as u32,
            });
        }
    }
}

/// What a trial has in common with those that the search may come to, whose runs at its corners these are: their layers are known
/// before anybody knows which of them will be tried. `at_once` of them are under way.
pub(crate) fn of_trial(
    run: &RunSpec,
    corners: &[RunSpec],
    index: u32,
    at_once: u32,
) -> Option<Joint> {
    let (transform, own) = view(run)?;
    let sees_the_same = |(other, used): &(Transform, BackboneUse)| {
        (*other, used.name, used.pre_trained) == (transform, own.name, own.pre_trained)
    };
    let corners = corners.iter().filter_map(view).filter(sees_the_same);
    let mut used: Vec<BackboneUse> = corners.map(|(_, used)| used).collect();
    used.push(own);
    let runs = at_once.max(2);
    Some(Joint {
        layers: JointPass::layers(used.iter()),
        place: index % runs,
        runs,
    })
}

/// How a run that trains looks at images. What a package has learned with is known to who opens it only.
fn view(run: &RunSpec) -> Option<(Transform, BackboneUse)> {
    let ModelSource::Train(class) = &run.model else {
        return None;
    };
    let model = models::build(
        &class.class_path,
        &class.init_args,
        run.input_size(),
        run.seed,
    );
    let model = model.ok()?;
    Some((model.preprocess(), model.backbone()?))
}

#[cfg(test)]
mod tests {
    use job::resolved::{ClassSpec, RunSpec};
    use serde_json::{Value, json};

    use super::*;
    use crate::tests::spec;

    fn class(class: &str, args: Value) -> ModelSource {
        ModelSource::Train(ClassSpec {
            class_path: class.to_owned(),
            init_args: args.as_object().expect("a map").clone(),
        })
    }

    /// What the plan says of runs of these models on one dataset each, by the seed of the run.
    fn marked(models: &[(ModelSource, &str, u64)]) -> Vec<Option<Joint>> {
        let run = |(model, category, seed): &(ModelSource, &str, u64)| RunSpec {
            model: model.clone(),
            ..spec("", 0, category, *seed, true)
        };
        let job = crate::tests::job(models.iter().map(run).collect());
        let planned = crate::plan(&job).runs.into_iter();
        planned.map(|run| run.joint).collect()
    }

    fn joint(layers: &[&str], place: u32, runs: u32) -> Option<Joint> {
        Some(Joint {
            layers: layers.iter().map(|layer| (*layer).to_owned()).collect(),
            place,
            runs,
        })
    }

    fn padim(backbone: &str, layers: &[&str]) -> ModelSource {
        class(
            "Padim",
            json!({"backbone": backbone, "layers": layers, "n_features": 8}),
        )
    }

    #[test]
    fn runs_that_see_the_same_share_the_layers_of_all_in_the_networks_order() {
        let dfm = class("Dfm", json!({"backbone": "resnet18", "layer": "layer3"}));
        let found = marked(&[
            (padim("resnet18", &["layer2", "layer1"]), "x", 0),
            (dfm.clone(), "x", 1),
            (dfm, "y", 0),
            (padim("resnet18", &["layer4"]), "x", 2),
        ]);
        let layers = ["layer1", "layer2", "layer3", "layer4"];
        let shares = |place| joint(&layers, place, 3);
        assert_eq!(found, [shares(0), shares(1), None, shares(2)]);
    }

    #[test]
    fn another_backbone_dataset_size_or_random_weights_are_seen_apart() {
        let random = |args: Value| {
            let mut all = json!({"backbone": "resnet18", "layers": ["layer1"], "n_features": 8, "pre_trained": false});
            let map = all.as_object_mut().expect("a map");
            map.extend(args.as_object().expect("a map").clone());
            class("Padim", all)
        };
        let found = marked(&[
            (padim("resnet18", &["layer1"]), "x", 0),
            (padim("resnet34", &["layer1"]), "x", 0),
            (padim("resnet18", &["layer1"]), "y", 0),
            (random(json!({})), "x", 0),
            (random(json!({})), "x", 1),
            (random(json!({"n_features": 4})), "x", 1),
            // It looks at the centre of the image alone.
            (
                class(
                    "Patchcore",
                    json!({"backbone": "resnet18", "layers": ["layer1"]}),
                ),
                "x",
                0,
            ),
            (ModelSource::Package("screws@1".to_owned()), "x", 0),
            (ModelSource::Package("screws@1".to_owned()), "x", 0),
        ]);
        let pair = |place| joint(&["layer1"], place, 2);
        assert_eq!(found[4..6], [pair(0), pair(1)]);
        let alone = |at: &usize| found[*at].is_none();
        assert!((0..4).chain(6..9).all(|at| alone(&at)), "{found:?}");
    }

    #[test]
    fn with_one_crop_models_of_other_habits_share_a_pass() {
        let models = |class_of: &[&str]| -> Vec<ModelSource> {
            let args = json!({"backbone": "resnet18", "layers": ["layer2"]});
            let padim = json!({"backbone": "resnet18", "layers": ["layer2"], "n_features": 8});
            let args = |name| match name {
                "Padim" => padim.clone(),
                _ => args.clone(),
            };
            let models = class_of.iter();
            models.map(|name| class(name, args(*name))).collect()
        };
        let found = |crops: &[Value]| {
            let models = models(&["Padim", "Patchcore"]);
            let run = |model: &ModelSource, crop: &Value| {
                let mut run = RunSpec {
                    model: model.clone(),
                    ..spec("", 0, "x", 0, true)
                };
                let data = &mut run.data.init_args;
                data.insert("center_crop".to_owned(), crop.clone());
                run
            };
            let runs = models.iter().zip(crops);
            let job = crate::tests::job(runs.map(|(model, crop)| run(model, crop)).collect());
            let planned = crate::plan(&job).runs.into_iter();
            planned.map(|run| run.joint).collect::<Vec<_>>()
        };
        let shared = |place| joint(&["layer2"], place, 2);
        for side in [200, 224, 256] {
            let crop = json!([side, side]);
            assert_eq!(
                found(&[crop.clone(), crop]),
                [shared(0), shared(1)],
                "{side}"
            );
        }
        assert_eq!(found(&[json!(null), json!(null)]), [None, None]);
    }

    #[test]
    fn each_begins_elsewhere() {
        let first = |place, items| {
            Joint {
                layers: vec![],
                place,
                runs: 4,
            }
            .first_of(items)
        };
        assert_eq!([0, 1, 2, 3].map(|place| first(place, 10)), [0, 2, 5, 7]);
        assert_eq!([0, 3].map(|place| first(place, 0)), [0, 0]);
    }
}
