//! `--set a.b=c`: values given on the command line, put into the tree before it is read.

use crate::{
    grid,
    node::{At, Entry, Node, Value},
    report::Report,
    run, yaml,
};

/// Applies the overrides in order. The value is YAML: `seed={grid: [0, 1]}` works.
pub(crate) fn apply(root: &mut Node, overrides: &[(String, String)], report: &mut Report<'_>) {
    for (index, (path, text)) in overrides.iter().enumerate() {
        let at = At::Set(index);
        let (value, errors) = if text.trim().is_empty() {
            (Some(Node::new(at, Value::Null)), Vec::new())
        } else {
            yaml::parse(text, |_, _| at)
        };
        errors
            .into_iter()
            .for_each(|(at, message)| report.error(at, message));
        if let Some(Err(message)) = value.map(|value| set(root, path, value, at)) {
            report.error(at, message);
        }
    }
}

fn set(root: &mut Node, path: &str, value: Node, at: At) -> Result<(), String> {
    if path.split('.').any(str::is_empty) {
        return Err(format!(
            "{path:?} is no path to a value; expected names with dots between, such as data.init_args.root"
        ));
    }
    put(root, &path.split('.').collect::<Vec<_>>(), path, value, at)
}

/// Puts the value where the rest of the path leads; through a grid it leads to every one of its values.
fn put(node: &mut Node, steps: &[&str], path: &str, value: Node, at: At) -> Result<(), String> {
    let Some((&part, rest)) = steps.split_first() else {
        *node = value;
        return Ok(());
    };
    if part != grid::KEY
        && let Some(options) = grid::options_mut(node)
    {
        return options
            .iter_mut()
            .try_for_each(|option| put(option, steps, path, value.clone(), at));
    }
    // `--set model=Padim --set model.init_args.n_features=50`: a short name becomes the class it stands for.
    if run::CLASS_KEYS.contains(&part) && matches!(node.value, Value::Text(_)) {
        let class = std::mem::replace(&mut node.value, Value::Null);
        let class = Entry {
            key: "class_path".into(),
            at: node.at,
            node: Node::new(node.at, class),
        };
        node.value = Value::Map(vec![class]);
    }
    if node.is_null() {
        *node = Node::new(at, Value::Map(Vec::new()));
    }
    let below = match &mut node.value {
        Value::Map(entries) => {
            let place = entries
                .iter()
                .position(|entry| entry.key == part)
                .unwrap_or_else(|| {
                    entries.push(Entry {
                        key: part.to_owned(),
                        at,
                        node: Node::new(at, Value::Null),
                    });
                    entries.len() - 1
                });
            &mut entries[place].node
        }
        Value::List(items) => {
            let count = items.len();
            part.parse::<usize>()
                .ok()
                .and_then(|index| items.get_mut(index))
                .ok_or_else(|| {
                    format!("{part:?} is no item of a list of {count}; the first is 0")
                })?
        }
        _ => {
            return Err(format!(
                "nothing can stand below {path:?}: it is not a map or a list"
            ));
        }
    };
    put(below, rest, path, value, at)
}
