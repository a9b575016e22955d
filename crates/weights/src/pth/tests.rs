//! Torch files written by a small encoder, byte for byte as torch writes them, and hostile ones.

use super::*;

/// Writes pickles instruction by instruction.
#[derive(Default, Clone)]
struct Encoder(Vec<u8>);

impl Encoder {
    fn new() -> Self {
        Self(vec![0x80, 2])
    }

    fn op(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(self, text: &str) -> Self {
        self.op(b"X")
            .op(&(text.len() as u32).to_le_bytes())
            .op(text.as_bytes())
    }

    fn int(self, value: i32) -> Self {
        self.op(b"J").op(&value.to_le_bytes())
    }

    fn global(self, module: &str, name: &str) -> Self {
        self.op(b"c")
            .op(module.as_bytes())
            .op(b"\n")
            .op(name.as_bytes())
            .op(b"\n")
    }

    fn ints(self, values: &[i32]) -> Self {
        values
            .iter()
            .fold(self.op(b"("), |encoder, &value| encoder.int(value))
            .op(b"t")
    }

    /// `OrderedDict()`
    fn ordered_dict(self) -> Self {
        self.global("collections", "OrderedDict").op(b")R")
    }

    /// A call of `_rebuild_tensor_v2`. Legacy files have one more item in the persistent id.
    fn tensor(self, legacy: bool, t: &Entry) -> Self {
        let id = self
            .global("torch._utils", "_rebuild_tensor_v2")
            .op(b"((")
            .text("storage")
            .global("torch", t.class)
            .text(t.key)
            .text("cpu")
            .int(t.elements);
        let id = if legacy { id.op(b"N") } else { id };
        id.op(b"tQ")
            .int(t.offset)
            .ints(t.shape)
            .ints(t.strides)
            .op(b"\x89")
            .ordered_dict()
            .op(b"tR")
    }

    fn stop(self) -> Vec<u8> {
        self.op(b".").0
    }
}

#[derive(Clone, Copy)]
struct Entry {
    name: &'static str,
    class: &'static str,
    key: &'static str,
    elements: i32,
    offset: i32,
    shape: &'static [i32],
    strides: &'static [i32],
}

const MATRIX: Entry = Entry {
    name: "conv.weight",
    class: "FloatStorage",
    key: "0",
    elements: 6,
    offset: 0,
    shape: &[2, 3],
    strides: &[3, 1],
};
const TRANSPOSED: Entry = Entry {
    name: "transposed",
    shape: &[3, 2],
    strides: &[1, 3],
    ..MATRIX
};
const ROW: Entry = Entry {
    name: "row",
    offset: 3,
    shape: &[3],
    strides: &[1],
    ..MATRIX
};
const COUNTER: Entry = Entry {
    name: "bn.num_batches_tracked",
    class: "LongStorage",
    key: "1",
    elements: 1,
    offset: 0,
    shape: &[],
    strides: &[],
};
const HALF: Entry = Entry {
    name: "half",
    class: "HalfStorage",
    key: "2",
    elements: 2,
    offset: 0,
    shape: &[2],
    strides: &[1],
};
const ENTRIES: [Entry; 5] = [MATRIX, TRANSPOSED, ROW, COUNTER, HALF];

fn storages() -> Vec<(&'static str, usize, Vec<u8>)> {
    let floats = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    vec![
        ("0", 6, floats),
        ("1", 1, i64::MAX.to_le_bytes().to_vec()),
        ("2", 2, vec![0x00, 0x3c, 0x00, 0xc0]),
    ]
}

/// The contents pickle: an OrderedDict with torch's `_metadata` attribute; `wrap` puts it into another dictionary.
fn contents(legacy: bool, entries: &[Entry], wrap: Option<&str>) -> Vec<u8> {
    let encoder = match wrap {
        Some(key) => Encoder::new()
            .op(b"}q\x00(")
            .text("epoch")
            .op(b"G\0\0\0\0\0\0\0\0")
            .text(key),
        None => Encoder::new(),
    };
    let mut encoder = encoder.ordered_dict().op(b"q\x01(");
    for entry in entries {
        encoder = encoder.text(entry.name).tensor(legacy, entry);
    }
    let encoder = encoder
        .op(b"u")
        .op(b"}")
        .text("_metadata")
        .ordered_dict()
        .op(b"sb");
    if wrap.is_some() {
        encoder.op(b"u").stop()
    } else {
        encoder.stop()
    }
}

fn legacy(contents: &[u8]) -> Vec<u8> {
    let mut file = LEGACY.to_vec();
    file.extend(Encoder::new().op(b"M\xe9\x03").stop());
    file.extend(
        Encoder::new()
            .op(b"}(")
            .text("little_endian")
            .op(b"\x88u")
            .stop(),
    );
    file.extend(contents);
    let keys = storages()
        .iter()
        .fold(Encoder::new().op(b"]("), |encoder, (key, ..)| {
            encoder.text(key)
        })
        .op(b"e")
        .stop();
    file.extend(keys);
    for (_, elements, data) in storages() {
        file.extend((elements as u64).to_le_bytes());
        file.extend(data);
    }
    file
}

/// A zip archive of stored entries, with an extra field before the data, as torch aligns it.
fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in entries {
        let sizes = [
            (data.len() as u32).to_le_bytes(),
            (data.len() as u32).to_le_bytes(),
        ]
        .concat();
        let name_length = (name.len() as u16).to_le_bytes();
        directory.extend(
            [
                b"PK\x01\x02".as_slice(),
                &[0; 16],
                &sizes,
                &name_length,
                &[0; 12],
                &(file.len() as u32).to_le_bytes(),
                name.as_bytes(),
            ]
            .concat(),
        );
        file.extend(
            [
                b"PK\x03\x04".as_slice(),
                &[0; 14],
                &sizes,
                &name_length,
                &[5, 0],
                name.as_bytes(),
                b"FB\x01\0Z",
                data,
            ]
            .concat(),
        );
    }
    let start = file.len() as u32;
    let count = (entries.len() as u16).to_le_bytes();
    file.extend(&directory);
    file.extend(
        [
            b"PK\x05\x06".as_slice(),
            &[0; 4],
            &count,
            &count,
            &(directory.len() as u32).to_le_bytes(),
            &start.to_le_bytes(),
            &[0; 2],
        ]
        .concat(),
    );
    file
}

fn torch_zip(contents: &[u8]) -> Vec<u8> {
    let storages = storages();
    let names: Vec<String> = storages
        .iter()
        .map(|(key, ..)| format!("model/data/{key}"))
        .collect();
    let mut entries = vec![
        ("model/data.pkl", contents),
        ("model/byteorder", b"little"),
        ("model/version", b"3\n"),
    ];
    entries.extend(
        names
            .iter()
            .zip(&storages)
            .map(|(name, (_, _, data))| (name.as_str(), data.as_slice())),
    );
    zip(&entries)
}

fn check(state: &StateDict) {
    let values: Vec<_> = state
        .iter()
        .map(|(name, t)| (name.as_str(), t.shape(), t.data()))
        .collect();
    let expected: [(&str, &[usize], &[f32]); 4] = [
        ("conv.weight", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        ("half", &[2], &[1.0, -2.0]),
        ("row", &[3], &[4.0, 5.0, 6.0]),
        ("transposed", &[3, 2], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]),
    ];
    assert_eq!(values, expected);
}

#[test]
fn both_formats_are_read() {
    check(&read_pth(&legacy(&contents(true, &ENTRIES, None))).expect("reads"));
    check(&read_pth(&torch_zip(&contents(false, &ENTRIES, None))).expect("reads"));
    let bytes = torch_zip(&contents(false, &ENTRIES, None));
    check(&crate::read("weights.pth", &bytes).expect("is recognized"));
}

#[test]
fn a_wrapped_state_is_found() {
    for key in WRAPPERS {
        check(&read_pth(&torch_zip(&contents(false, &ENTRIES, Some(key)))).expect("reads"));
    }
    let error = read_pth(&torch_zip(&contents(false, &ENTRIES, Some("weights"))))
        .expect_err("unknown wrapper")
        .to_string();
    assert!(error.contains("state_dict"), "{error}");
}

#[test]
fn parameters_and_newer_instructions_are_read() {
    let parameter = Encoder::new()
        .op(b"}")
        .text("p")
        .global("torch._utils", "_rebuild_parameter")
        .op(b"(")
        .tensor(false, &ROW);
    let parameter = parameter.op(b"\x88").ordered_dict().op(b"tRs").stop();
    assert_eq!(
        read_pth(&torch_zip(&parameter)).expect("reads")["p"].data(),
        [4.0, 5.0, 6.0]
    );
    // Protocol 4: frame, short strings, globals from the stack, memo without numbers.
    let storage = Encoder(vec![0x80, 4, 0x95, 0, 0, 0, 0, 0, 0, 0, 0])
        .op(b"}\x94")
        .op(b"\x8c\x01a\x94");
    let storage = storage.op(b"\x8c\x0ctorch._utils\x94\x8c\x12_rebuild_tensor_v2\x94\x93\x94((");
    let storage = storage
        .op(b"\x8c\x07storage\x94")
        .op(b"\x8c\x05torch\x94\x8c\x0cFloatStorage\x94\x93\x94")
        .op(b"\x8c\x010\x94\x8c\x03cpu\x94K\x06tQ");
    let tensor = storage
        .op(b"K\x01K\x02\x85K\x01\x85\x89N")
        .op(b"tRs")
        .stop();
    assert_eq!(
        read_pth(&torch_zip(&tensor)).expect("reads")["a"].data(),
        [2.0, 3.0]
    );
}

#[test]
fn a_global_outside_of_the_list_is_named_and_not_called() {
    for (module, name) in [
        ("os", "system"),
        ("builtins", "eval"),
        ("torch", "load"),
        ("torch._utils", "_rebuild_tensor_v3"),
        ("collections", "deque"),
    ] {
        let attack = Encoder::new()
            .global(module, name)
            .op(b"(")
            .text("touch /tmp/owned")
            .op(b"tR")
            .stop();
        for file in [torch_zip(&attack), legacy(&attack)] {
            let error = read_pth(&file).expect_err("an attack").to_string();
            assert!(
                error.contains(&format!("`{module}.{name}`"))
                    && error.contains("nothing was executed"),
                "{error}"
            );
        }
    }
    // By way of the stack, and instructions that build objects.
    let attack = Encoder::new().text("os").text("system").op(b"\x93").stop();
    assert!(
        read_pth(&torch_zip(&attack))
            .expect_err("an attack")
            .to_string()
            .contains("`os.system`")
    );
    for opcode in [b'i', b'o', 0x81, 0x92, b'P', b'I', 0x82, 0x8b, 0x97] {
        let error = read_pth(&torch_zip(
            &Encoder::new().op(b"(").op(&[opcode]).op(b"a\nb\n").stop(),
        ))
        .expect_err("not in the list")
        .to_string();
        assert!(error.contains(&format!("0x{opcode:02x}")), "{error}");
    }
}

#[test]
fn tensors_that_do_not_fit_their_storage_are_refused() {
    let cases = [
        (
            "more elements",
            Entry {
                shape: &[7],
                strides: &[1],
                ..MATRIX
            },
        ),
        (
            "stride 0",
            Entry {
                shape: &[1 << 30],
                strides: &[0],
                ..MATRIX
            },
        ),
        (
            "past the end",
            Entry {
                offset: 4,
                shape: &[3],
                strides: &[1],
                ..MATRIX
            },
        ),
        (
            "long stride",
            Entry {
                shape: &[2, 3],
                strides: &[4, 1],
                ..MATRIX
            },
        ),
        (
            "overflow",
            Entry {
                shape: &[i32::MAX, i32::MAX, i32::MAX],
                strides: &[1, 1, 1],
                ..MATRIX
            },
        ),
        (
            "negative",
            Entry {
                shape: &[-2, -3],
                strides: &[3, 1],
                ..MATRIX
            },
        ),
        (
            "negative offset",
            Entry {
                offset: -1,
                ..MATRIX
            },
        ),
        (
            "storage claims more than it has",
            Entry {
                elements: 1000,
                shape: &[1000],
                strides: &[1],
                ..MATRIX
            },
        ),
        ("no such storage", Entry { key: "9", ..MATRIX }),
        (
            "rank",
            Entry {
                strides: &[1],
                ..MATRIX
            },
        ),
        (
            "class",
            Entry {
                class: "QInt8Storage",
                ..MATRIX
            },
        ),
    ];
    for (what, entry) in cases {
        assert!(
            read_pth(&torch_zip(&contents(false, &[entry], None))).is_err(),
            "{what}"
        );
    }
    // An empty tensor is fine.
    let empty = Entry {
        shape: &[0, 3],
        strides: &[3, 1],
        ..MATRIX
    };
    assert!(
        read_pth(&torch_zip(&contents(false, &[empty], None))).expect("reads")["conv.weight"]
            .is_empty()
    );
}

#[test]
fn bombs_stay_small() {
    // A memo bomb: each tuple holds the one before ten times; written out it would have 10^1000 items.
    let mut bomb = Encoder::new().op(b")q\x00");
    for _ in 0..1000 {
        bomb = bomb.op(b"(h\x00h\x00h\x00h\x00h\x00h\x00h\x00h\x00h\x00h\x00tq\x00");
    }
    assert!(read_pth(&torch_zip(&bomb.stop())).is_err());
    // Nesting without end, a memo index at the end of the range, a string longer than the file, marks without end.
    let nested = (0..100_000).fold(Encoder::new().op(b")"), |encoder, _| encoder.op(b"\x85"));
    assert!(read_pth(&torch_zip(&nested.stop())).is_err());
    assert!(read_pth(&torch_zip(&Encoder::new().op(b"}r\xff\xff\xff\xff").stop())).is_err());
    assert!(read_pth(&torch_zip(&Encoder::new().op(b"X\xff\xff\xff\xff").stop())).is_err());
    assert!(read_pth(&torch_zip(&Encoder::new().op(&[b'('; 100_000]).stop())).is_err());
    // A dictionary that wraps itself.
    let selfish = Encoder::new()
        .op(b"}q\x00")
        .text("model")
        .op(b"h\x00s")
        .stop();
    assert!(read_pth(&torch_zip(&selfish)).is_err());
    // Many views of one storage.
    let views = (0..5000)
        .fold(Encoder::new().op(b"}("), |encoder, i| {
            encoder.text(&format!("v{i}")).tensor(false, &MATRIX)
        })
        .op(b"u")
        .stop();
    assert!(
        read_pth(&torch_zip(&views)).is_ok(),
        "the pickle is longer than its views"
    );
}

#[test]
fn what_the_memo_repeats_is_not_copied_without_end() {
    let refused = |pickle: Encoder| {
        let file = torch_zip(&pickle.stop());
        let error = read_pth(&file).expect_err("a bomb");
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            text += &cause.to_string();
            source = cause.source();
        }
        assert!(text.contains("over and over"), "{text}");
    };
    // 2,000 pairs, which every six bytes become another dictionary.
    let pairs = (0..2000)
        .fold(Encoder::new().op(b"]("), |encoder, i| {
            encoder.text(&i.to_string()).op(b"N\x86")
        })
        .op(b"e\x85q\x01")
        .global("collections", "OrderedDict")
        .op(b"q\x02");
    let once = pairs.clone().op(b"h\x02h\x01R");
    let dict = interpret(&once.stop()).expect("as old versions wrote it");
    assert!(matches!(dict.node(dict.root), Node::Dict(pairs) if pairs.len() == 2000));
    refused((0..10_000).fold(pairs, |encoder, _| encoder.op(b"h\x02h\x01R0")));
    // Nothing but small instructions: values, places on the stack, marks.
    let many = |instruction: &[u8]| {
        let start = Encoder::new().op(b"Nq\x01");
        interpret(&start.op(&instruction.repeat(2 << 20)).stop())
            .err()
            .expect("must be refused")
            .to_string()
    };
    for instruction in [&b"N"[..], b"]0", b"h\x01", b"(", b"(h\x01t0"] {
        assert!(
            many(instruction).contains("too many values"),
            "{instruction:?}"
        );
    }
    // A storage with a long name.
    let storage = Encoder::new()
        .op(b"(")
        .text("storage")
        .global("torch", "FloatStorage")
        .text(&"n".repeat(10_000))
        .text("cpu")
        .int(1)
        .op(b"tq\x01");
    refused((0..10_000).fold(storage, |encoder, _| encoder.op(b"h\x01Q0")));
}

#[test]
fn truncated_files_are_errors_everywhere() {
    let whole = [
        legacy(&contents(true, &ENTRIES, None)),
        torch_zip(&contents(false, &ENTRIES, None)),
    ];
    for file in whole {
        for length in 0..file.len() {
            assert!(
                read_pth(&file[..length]).is_err(),
                "{length} of {}",
                file.len()
            );
        }
    }
}

#[test]
fn a_changed_byte_never_panics() {
    for file in [
        legacy(&contents(true, &ENTRIES, None)),
        torch_zip(&contents(false, &ENTRIES, None)),
    ] {
        for at in 0..file.len() {
            for value in [0, 1, 0x7f, 0xff, b'(', b'.', b'R', b't'] {
                let mut changed = file.clone();
                changed[at] = value;
                // Either outcome is right; ending is what counts.
                let _ = read_pth(&changed);
            }
        }
    }
}
