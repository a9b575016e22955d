//! Writing graphs as ONNX, opset 17.
