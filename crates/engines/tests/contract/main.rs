//! What every engine promises, checked on all of them: the operations' meaning, buffers and bits.

mod bits;
mod buffers;
mod cases;
mod gpu;
mod model_files;
mod network;
mod operations;
mod precision;
mod values;
