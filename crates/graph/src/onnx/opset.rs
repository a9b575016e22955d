//! Which set of operators an ONNX file is written in.

use prost::{DecodeError, Message};

use super::proto::OperatorSet;

/// Version of ONNX's own operators that the file uses; `None` if it names none.
pub fn opset(model: &[u8]) -> Result<Option<i64>, DecodeError> {
    let Model { opset_import } = Model::decode(model)?;
    let own = opset_import.iter().find(|set| {
        // Both names mean the same.
        let domain = set.domain.as_deref().unwrap_or_default();
        matches!(domain, "" | "ai.onnx")
    });
    Ok(own.map(|set| set.version))
}

/// Of the file's message that part which says so.
#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<OperatorSet>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_its_own_operators_is_told() {
        let set = |domain: Option<&str>, version| OperatorSet {
            domain: domain.map(str::to_owned),
            version,
        };
        let of = |sets: &[OperatorSet]| {
            let model = Model {
                opset_import: sets.to_vec(),
            };
            opset(&model.encode_to_vec()).unwrap()
        };
        let foreign = set(Some("com.microsoft"), 1);
        assert_eq!(of(&[]), None);
        assert_eq!(of(std::slice::from_ref(&foreign)), None);
        for own in [None, Some(""), Some("ai.onnx")] {
            assert_eq!(of(&[foreign.clone(), set(own, 99)]), Some(99), "{own:?}");
        }
        assert!(opset(&[0x42, 9]).is_err(), "a set that is cut");
    }
}
