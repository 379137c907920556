"""Models that come as ONNX files, read into graphs of the one dialect."""
