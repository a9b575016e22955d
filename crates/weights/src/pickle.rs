//! The few pickle instructions that a torch state dictionary needs, interpreted without executing anything.
//!
//! Values live in one flat arena and refer to each other by position, so that references repeated through the memo cost
//! nothing and deep nesting needs no recursion. Each instruction makes at most one value, and what values copy of others
//! is counted: memory is linear in the length of the pickle. Every global outside of [`Global`] is an error that names it.

use std::collections::HashMap;

use crate::WeightsError;
use crate::element::Element;

const FORMAT: &str = "pickle";

/// A pickle of the names and shapes of a hundred thousand tensors stays below.
const MAX_LENGTH: usize = 32 << 20;

/// Values, and places of values on the stack, in the memo and in others. A state dictionary of ten thousand tensors has
/// some 400,000; at a hundred bytes a value this bounds what a file of nothing but small instructions takes.
const MAX_VALUES: usize = 1 << 20;

/// Position of a value in the arena.
pub(crate) type Ref = usize;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    None,
    Bool(bool),
    Int(i64),
    Float,
    Text(String),
    Tuple(Vec<Ref>),
    List(Vec<Ref>),
    Dict(Vec<(Ref, Ref)>),
    Global(Global),
    /// What a persistent id stands for.
    Storage(Storage),
    Tensor(TensorNode),
}

/// The functions and classes that a pickle may name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    StorageType(Element),
}

/// Elements stored outside of the pickle.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Storage {
    pub key: String,
    pub element: Element,
    pub elements: usize,
}

/// A view of a storage; sizes and strides count elements.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TensorNode {
    pub storage: Storage,
    pub offset: usize,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}

/// An interpreted pickle.
pub(crate) struct Pickle {
    nodes: Vec<Node>,
    pub root: Ref,
    /// Bytes up to and with the STOP instruction.
    pub length: usize,
}

impl Pickle {
    pub(crate) fn node(&self, at: Ref) -> &Node {
        &self.nodes[at]
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter()
    }

    /// What a value is, for errors.
    pub(crate) fn describe(&self, at: Ref) -> &'static str {
        match self.node(at) {
            Node::None => "None",
            Node::Bool(_) => "a truth value",
            Node::Int(_) | Node::Float => "a number",
            Node::Text(_) => "a string",
            Node::Tuple(_) | Node::List(_) => "a list",
            Node::Dict(_) => "a dictionary without tensors",
            Node::Global(_) => "a function",
            Node::Storage(_) | Node::Tensor(_) => "a single tensor",
        }
    }
}

/// Interprets the pickle at the start of `bytes`.
pub(crate) fn interpret(bytes: &[u8]) -> Result<Pickle, WeightsError> {
    let bytes = &bytes[..bytes.len().min(MAX_LENGTH)];
    Machine {
        bytes,
        at: 0,
        nodes: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        copied: 0,
        placed: 0,
    }
    .run()
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    stack: Vec<Ref>,
    /// Heights of the stack where marks were set.
    marks: Vec<usize>,
    memo: HashMap<u32, Ref>,
    /// Items and bytes of names that values hold twice.
    copied: usize,
    /// Places in tuples, lists and dictionaries.
    placed: usize,
}

/// What may be copied for each byte of the pickle. A dictionary made of pairs copies one for some twenty bytes, a tensor its
/// storage's name and its shape; but a long list in the memo can be copied by every three bytes.
const COPIES_PER_BYTE: usize = 8;

impl Machine<'_> {
    fn run(mut self) -> Result<Pickle, WeightsError> {
        loop {
            self.check_size()?;
            let position = self.at;
            let opcode = self.u8()?;
            match opcode {
                // PROTO, FRAME
                0x80 => self.skip(1)?,
                0x95 => self.skip(8)?,
                b'.' => break,
                b'(' => self.marks.push(self.stack.len()),
                b'0' => drop(self.pop()?),
                b'N' => self.push(Node::None),
                0x88 => self.push(Node::Bool(true)),
                0x89 => self.push(Node::Bool(false)),
                // BININT, BININT1, BININT2, LONG1
                b'J' => self.integer(4)?,
                b'K' => self.unsigned(1)?,
                b'M' => self.unsigned(2)?,
                0x8a => {
                    let length = self.u8()?;
                    self.integer(length.into())?;
                }
                b'G' => {
                    self.skip(8)?;
                    self.push(Node::Float);
                }
                // SHORT_BINSTRING, SHORT_BINUNICODE, BINSTRING, BINUNICODE
                b'U' | 0x8c => self.text(1)?,
                b'T' | b'X' => self.text(4)?,
                b')' => self.push(Node::Tuple(Vec::new())),
                0x85..=0x87 => {
                    let items = self.pop_many(usize::from(opcode - 0x84))?;
                    self.push(Node::Tuple(items));
                }
                b't' => {
                    let items = self.pop_mark()?;
                    self.push(Node::Tuple(items));
                }
                b'l' => {
                    let items = self.pop_mark()?;
                    self.push(Node::List(items));
                }
                b']' => self.push(Node::List(Vec::new())),
                b'}' => self.push(Node::Dict(Vec::new())),
                b'a' => {
                    let item = self.pop_many(1)?;
                    self.append(item)?;
                }
                b'e' => {
                    let items = self.pop_mark()?;
                    self.append(items)?;
                }
                b's' => {
                    let pair = self.pop_many(2)?;
                    self.set_items(pair)?;
                }
                b'u' => {
                    let pairs = self.pop_mark()?;
                    self.set_items(pairs)?;
                }
                // BINPUT, LONG_BINPUT, MEMOIZE, BINGET, LONG_BINGET
                b'q' => {
                    let index = self.u8()?;
                    self.remember(index.into())?;
                }
                b'r' => {
                    let index = self.u32()?;
                    self.remember(index)?;
                }
                0x94 => self.remember(self.memo.len() as u32)?,
                b'h' => {
                    let index = self.u8()?;
                    self.recall(index.into())?;
                }
                b'j' => {
                    let index = self.u32()?;
                    self.recall(index)?;
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.global(&module, &name)?;
                }
                0x93 => self.stack_global()?,
                b'R' => self.reduce()?,
                b'b' => self.build()?,
                b'Q' => self.persistent_id()?,
                _ => return Err(WeightsError::Opcode { opcode, position }),
            }
        }
        let root = self.pop()?;
        Ok(Pickle {
            nodes: self.nodes,
            root,
            length: self.at,
        })
    }

    fn check_size(&self) -> Result<(), WeightsError> {
        let places = self.stack.len() + self.marks.len() + self.memo.len() + self.placed;
        if self.nodes.len() + places > MAX_VALUES {
            return Err(self.fail("too many values: this is no state dictionary"));
        }
        Ok(())
    }

    fn fail(&self, problem: impl Into<String>) -> WeightsError {
        WeightsError::format(FORMAT, self.at, problem)
    }

    fn take(&mut self, length: usize) -> Result<&[u8], WeightsError> {
        let end = self
            .at
            .checked_add(length)
            .filter(|&end| end <= self.bytes.len());
        let end = end.ok_or_else(|| self.fail("an instruction is cut off: the file is truncated, or its pickle is longer than 32 MiB"))?;
        let start = std::mem::replace(&mut self.at, end);
        Ok(&self.bytes[start..end])
    }

    fn skip(&mut self, length: usize) -> Result<(), WeightsError> {
        self.take(length).map(drop)
    }

    fn u8(&mut self) -> Result<u8, WeightsError> {
        Ok(self.take(1)?[0])
    }

    fn u32(&mut self) -> Result<u32, WeightsError> {
        let b = self.take(4)?;
        Ok(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    }

    fn push(&mut self, node: Node) {
        self.stack.push(self.nodes.len());
        self.nodes.push(node);
    }

    fn unsigned(&mut self, length: usize) -> Result<(), WeightsError> {
        let value = self
            .take(length)?
            .iter()
            .rev()
            .fold(0, |value, &b| value << 8 | i64::from(b));
        self.push(Node::Int(value));
        Ok(())
    }

    /// A little-endian number in two's complement.
    fn integer(&mut self, length: usize) -> Result<(), WeightsError> {
        if length > 8 {
            return Err(self.fail(format!("an integer of {length} bytes")));
        }
        let bytes = self.take(length)?;
        let fill = if bytes.last().is_some_and(|b| b & 0x80 != 0) {
            0xff
        } else {
            0
        };
        let mut word = [fill; 8];
        word[..length].copy_from_slice(bytes);
        self.push(Node::Int(i64::from_le_bytes(word)));
        Ok(())
    }

    fn text(&mut self, length_bytes: usize) -> Result<(), WeightsError> {
        let length = if length_bytes == 1 {
            u32::from(self.u8()?)
        } else {
            self.u32()?
        };
        let text = std::str::from_utf8(self.take(length as usize)?).map(str::to_owned);
        let text = text.map_err(|_| self.fail("a string is not UTF-8"))?;
        self.push(Node::Text(text));
        Ok(())
    }

    fn line(&mut self) -> Result<String, WeightsError> {
        let rest = &self.bytes[self.at..];
        let length = rest
            .iter()
            .take(256)
            .position(|&b| b == b'\n')
            .ok_or_else(|| self.fail("a name without end"))?;
        let line = String::from_utf8_lossy(&rest[..length]).into_owned();
        self.at += length + 1;
        Ok(line)
    }

    /// Lowest height of the stack that the current instruction may pop down to.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Ref, WeightsError> {
        if self.stack.len() <= self.floor() {
            return Err(self.fail("an instruction finds no operand"));
        }
        self.stack
            .pop()
            .ok_or_else(|| self.fail("an instruction finds no operand"))
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Ref>, WeightsError> {
        match self.stack.len().checked_sub(count) {
            Some(height) if height >= self.floor() => {
                self.placed += count;
                Ok(self.stack.split_off(height))
            }
            _ => Err(self.fail("an instruction finds too few operands")),
        }
    }

    fn pop_mark(&mut self) -> Result<Vec<Ref>, WeightsError> {
        let height = self
            .marks
            .pop()
            .ok_or_else(|| self.fail("an instruction finds no mark"))?;
        self.placed += self.stack.len() - height;
        Ok(self.stack.split_off(height))
    }

    fn top(&self) -> Result<Ref, WeightsError> {
        match self.stack.last() {
            Some(&top) if self.stack.len() > self.floor() => Ok(top),
            _ => Err(self.fail("an instruction finds no operand")),
        }
    }

    fn append(&mut self, items: Vec<Ref>) -> Result<(), WeightsError> {
        let top = self.top()?;
        match &mut self.nodes[top] {
            Node::List(list) => list.extend(items),
            _ => return Err(self.fail("items are appended to something that is no list")),
        }
        Ok(())
    }

    fn set_items(&mut self, flat: Vec<Ref>) -> Result<(), WeightsError> {
        let top = self.top()?;
        let (pairs, odd) = flat.as_chunks::<2>();
        match &mut self.nodes[top] {
            Node::Dict(dict) if odd.is_empty() => {
                dict.extend(pairs.iter().map(|&[key, value]| (key, value)))
            }
            _ => return Err(self.fail("items are set on something that is no dictionary")),
        }
        Ok(())
    }

    fn remember(&mut self, index: u32) -> Result<(), WeightsError> {
        let top = self.top()?;
        self.memo.insert(index, top);
        Ok(())
    }

    fn recall(&mut self, index: u32) -> Result<(), WeightsError> {
        let value = self.memo.get(&index).copied();
        let value = value.ok_or_else(|| {
            self.fail(format!(
                "entry {index} of the memo is used before it is set"
            ))
        })?;
        self.stack.push(value);
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) -> Result<(), WeightsError> {
        let global = match (module, name) {
            ("collections", "OrderedDict") => Global::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2") => Global::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Global::RebuildParameter,
            ("torch", _) => Global::StorageType(match name {
                "FloatStorage" => Element::F32,
                "DoubleStorage" => Element::F64,
                "HalfStorage" => Element::F16,
                "BFloat16Storage" => Element::Bf16,
                "LongStorage" => Element::I64,
                "IntStorage" => Element::I32,
                "ShortStorage" => Element::I16,
                "CharStorage" => Element::I8,
                "ByteStorage" => Element::U8,
                "BoolStorage" => Element::Bool,
                _ => {
                    return Err(WeightsError::Global {
                        global: format!("torch.{name}"),
                    });
                }
            }),
            _ => {
                return Err(WeightsError::Global {
                    global: format!("{module}.{name}"),
                });
            }
        };
        self.push(Node::Global(global));
        Ok(())
    }

    fn stack_global(&mut self) -> Result<(), WeightsError> {
        let names = self.pop_many(2)?;
        match (&self.nodes[names[0]], &self.nodes[names[1]]) {
            (Node::Text(module), Node::Text(name)) => {
                let (module, name) = (module.clone(), name.clone());
                self.global(&module, &name)
            }
            _ => Err(self.fail("a global's name is no string")),
        }
    }

    fn copies(&mut self, count: usize) -> Result<(), WeightsError> {
        self.copied = self.copied.saturating_add(count);
        if self.copied > COPIES_PER_BYTE * self.at {
            return Err(
                self.fail("the same values are copied over and over: this is no state dictionary")
            );
        }
        Ok(())
    }

    /// The call of a known global: what torch would build, as plain data.
    fn reduce(&mut self) -> Result<(), WeightsError> {
        let operands = self.pop_many(2)?;
        let Node::Tuple(arguments) = &self.nodes[operands[1]] else {
            return Err(self.fail("a call without a tuple of arguments"));
        };
        // Of all calls that are known, none has more; and the memo can repeat them.
        const MAX_ARGUMENTS: usize = 16;
        if arguments.len() > MAX_ARGUMENTS {
            return Err(self.fail("a call that a state dictionary does not need"));
        }
        let arguments = arguments.clone();
        match (&self.nodes[operands[0]], &arguments[..]) {
            (Node::Global(Global::OrderedDict), []) => self.push(Node::Dict(Vec::new())),
            (Node::Global(Global::OrderedDict), [pairs]) => {
                let dict = self.pairs(*pairs)?;
                self.copies(dict.len())?;
                self.push(Node::Dict(dict));
            }
            (Node::Global(Global::RebuildTensor), [storage, offset, shape, strides, ..]) => {
                let tensor = self.tensor(*storage, *offset, *shape, *strides)?;
                self.copies(tensor.storage.key.len() + tensor.shape.len())?;
                self.push(Node::Tensor(tensor));
            }
            // The parameter is its tensor.
            (Node::Global(Global::RebuildParameter), [tensor, ..]) => self.stack.push(*tensor),
            _ => return Err(self.fail("a call that a state dictionary does not need")),
        }
        Ok(())
    }

    /// `OrderedDict([(key, value), ..])`, as old versions wrote it.
    fn pairs(&self, at: Ref) -> Result<Vec<(Ref, Ref)>, WeightsError> {
        let Node::List(items) = &self.nodes[at] else {
            return Err(self.fail("a dictionary is made of something that is no list"));
        };
        let pair = |item: &Ref| match &self.nodes[*item] {
            Node::Tuple(pair) | Node::List(pair) if pair.len() == 2 => Ok((pair[0], pair[1])),
            _ => Err(self.fail("a dictionary is made of something that is no list of pairs")),
        };
        items.iter().map(pair).collect()
    }

    fn tensor(
        &self,
        storage: Ref,
        offset: Ref,
        shape: Ref,
        strides: Ref,
    ) -> Result<TensorNode, WeightsError> {
        let Node::Storage(storage) = &self.nodes[storage] else {
            return Err(self.fail("a tensor without storage"));
        };
        let (shape, strides) = (self.sizes(shape)?, self.sizes(strides)?);
        if shape.len() != strides.len() {
            return Err(self.fail("a tensor whose shape and strides have different lengths"));
        }
        Ok(TensorNode {
            storage: storage.clone(),
            offset: self.size(offset)?,
            shape,
            strides,
        })
    }

    fn size(&self, at: Ref) -> Result<usize, WeightsError> {
        match self.nodes[at] {
            Node::Int(value) => {
                usize::try_from(value).map_err(|_| self.fail(format!("the size {value}")))
            }
            _ => Err(self.fail("a size that is no integer")),
        }
    }

    fn sizes(&self, at: Ref) -> Result<Vec<usize>, WeightsError> {
        const MAX_AXES: usize = 8;
        match &self.nodes[at] {
            Node::Tuple(items) | Node::List(items) if items.len() <= MAX_AXES => {
                items.iter().map(|&item| self.size(item)).collect()
            }
            _ => Err(self.fail("a shape that is no short tuple of sizes")),
        }
    }

    /// Attributes: torch hangs `_metadata` on a state dictionary, which says nothing about tensors.
    fn build(&mut self) -> Result<(), WeightsError> {
        self.pop()?;
        match self.nodes[self.top()?] {
            Node::Dict(_) => Ok(()),
            _ => Err(self.fail("attributes are set on something that is no dictionary")),
        }
    }

    /// `('storage', type, key, device, elements)`; legacy files have a sixth item, for views of views.
    fn persistent_id(&mut self) -> Result<(), WeightsError> {
        let id = self.pop()?;
        let Node::Tuple(items) = &self.nodes[id] else {
            return Err(self.fail("a persistent id that is no tuple"));
        };
        let Some((&[kind, class, key, _device, elements], view)) = items.split_first_chunk::<5>()
        else {
            return Err(self.fail("a persistent id is too short"));
        };
        if view.iter().any(|&item| self.nodes[item] != Node::None) {
            return Err(self.fail("a storage that is a view of another one; save the file again with a torch version of this decade"));
        }
        match (&self.nodes[kind], &self.nodes[class], &self.nodes[key]) {
            (Node::Text(kind), Node::Global(Global::StorageType(element)), Node::Text(key))
                if kind == "storage" =>
            {
                let storage = Storage {
                    key: key.clone(),
                    element: *element,
                    elements: self.size(elements)?,
                };
                self.copies(storage.key.len())?;
                self.push(Node::Storage(storage));
                Ok(())
            }
            _ => Err(self.fail("a persistent id that is no storage")),
        }
    }
}
