//! Every combination of values, the last dimension fastest.

use crate::{Point, Space};

/// All points of a space of values in order; `None` if a dimension is a range, or if there are more than `most`.
pub fn points(space: &Space, most: usize) -> Option<Vec<Point>> {
    let mut found = Vec::new();
    extend(space, &mut Vec::new(), most, &mut found).then_some(found)
}

fn extend(
    space: &Space,
    places: &mut Vec<Option<u32>>,
    most: usize,
    found: &mut Vec<Point>,
) -> bool {
    let Some(dimension) = space.dimensions.get(places.len()) else {
        found.push(Point(places.clone()));
        return found.len() <= most;
    };
    if !space.is_active(places) {
        places.push(None);
        let all = extend(space, places, most, found);
        places.pop();
        return all;
    }
    let Some(choices) = dimension.domain.choices() else {
        return false;
    };
    (0..choices as u32).all(|choice| {
        places.push(Some(choice));
        let all = extend(space, places, most, found);
        places.pop();
        all
    })
}
