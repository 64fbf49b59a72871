"""Converters to ONNX of steps for which skl2onnx has none, or an inexact one."""
