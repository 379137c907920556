"""What ONNX's own tests ask and staticgrad does not give, each with its reason."""

from __future__ import annotations

_NO_DERIVATIVE = "trees, classifiers and encoders of ai.onnx.ml, which are not differentiated"
_OPTIMIZER = "the step of an optimizer in ai.onnx.preview.training, which nobody differentiates"
_BLOCK = "the size of the blocks is an input, and how often each element is covered depends on it"
_ASPECT = "the sizes are inputs, and which of them decides is known in the run only"

REFUSED = {
    "test_adagrad*": _OPTIMIZER,
    "test_adam*": _OPTIMIZER,
    "test_momentum*": _OPTIMIZER,
    "test_nesterov_momentum": _OPTIMIZER,
    "test_ai_onnx_ml_*": _NO_DERIVATIVE,
    "test_col2im*": _BLOCK,
    "test_resize_*_sizes_nearest_not_*": _ASPECT,
    "test_loop16_seq_none": "a loop begins with an optional and goes on with a sequence",
}
"""Gradients that are refused, by patterns of names."""

WITHOUT_DERIVATIVE = ("test_adagrad*", "test_adam*", "test_momentum*", "test_nesterov_momentum", "test_ai_onnx_ml_*")
"""Of those the ones whose operator has no derivative."""

NOT_READ = {
    "test_bitshift_*_int*": "signed integers are shifted from opset 28 on, which runs nowhere yet",
}
"""Models that are not read at all."""

RUN_NOWHERE = {"test_gradient_of_add*": "ai.onnx.preview.training has a Gradient that no runtime knows"}
"""Models that are read and written, but neither onnxruntime nor onnx.reference runs them."""
