"""Changes of resolution."""

from __future__ import annotations

from typing import Any

import numpy as np

from operator_rows.row import Array, Fixed, Row, draw, row

PLANE, SMALL = draw(1, 1, 4, 3), draw(1, 1, 2, 4, seed=1)


def resized(x: Array, *, roi: Any = None, scales: Any = None, sizes: Any = None, **attributes: Any) -> Row:
    """Literals but for `x`. onnxruntime has a kernel for float32 only."""
    given = [
        None if numbers is None else Fixed(np.array(numbers), dtype=dtype)
        for numbers, dtype in ((roi, "float32"), (scales, "float32"), (sizes, "int64"))
    ]
    dynamic = "never" if attributes.get("keep_aspect_ratio_policy") else "unknown" if scales is None else "works"
    return row("Resize", x, *given, dynamic=dynamic, dtype="float32", **attributes)


def of_plane(*numbers: float) -> list[float]:
    return [1.0, 1.0, *numbers]


COORDINATES = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric")
CROP = {"coordinate_transformation_mode": "tf_crop_and_resize", "roi": [0, 0, 0.4, 0.2, 1, 1, 0.8, 1.3]}

ROWS: list[Row] = [
    *(
        # onnx.reference aligns the corners of fractional sizes.
        resized(
            PLANE,
            scales=of_plane(*((1.5, 2) if c == "align_corners" else (1.6, 0.7))),
            mode=m,
            coordinate_transformation_mode=c,
        )
        for m in ("nearest", "linear", "cubic")
        for c in COORDINATES
    ),
    *(resized(PLANE, scales=of_plane(1.3, 2.6), nearest_mode=n) for n in ("round_prefer_ceil", "floor", "ceil")),
    *(resized(PLANE, sizes=[1, 1, 3, 5], mode=m) for m in ("nearest", "linear", "cubic")),
    *(resized(PLANE, sizes=[1, 5], mode="linear", axes=(2, 3), coordinate_transformation_mode=c) for c in COORDINATES),
    *(resized(PLANE, scales=[0.6, 1.5], mode=m, axes=(3, 2), antialias=True) for m in ("linear", "cubic")),
    resized(PLANE, scales=[0.6, 0.7], mode="cubic", axes=(2, 3), antialias=True, exclude_outside=True),
    resized(PLANE, scales=of_plane(0.8, 1.7), mode="cubic", cubic_coeff_a=-0.5, exclude_outside=True),
    *(resized(PLANE, sizes=[1, 1, 3, 5], mode=m, extrapolation_value=2.0, **CROP) for m in ("nearest", "linear")),
    resized(PLANE, scales=of_plane(0.75, 2), mode="cubic", extrapolation_value=2.0, **CROP),
    resized(PLANE, sizes=[1, 1, 1, 4], mode="linear", **CROP),
    *(
        resized(SMALL, sizes=s, axes=(2, 3), keep_aspect_ratio_policy=p, mode=m)
        for s in ([1, 3], [3, 5], [7, 8])
        for p in ("not_larger", "not_smaller")
        for m in ("nearest", "linear")
    ),
    resized(SMALL, sizes=[3, 5], axes=(3, 2), keep_aspect_ratio_policy="not_smaller", mode="cubic"),
    resized(draw(1, 2, 2, 2), scales=of_plane(2, 3), mode="nearest"),
    *(
        resized(draw(2, 2, 3), scales=[1, 2, 2], coordinate_transformation_mode=c, nearest_mode=n)
        for c, n in (
            ("asymmetric", "floor"),
            ("asymmetric", "round_prefer_floor"),
            ("pytorch_half_pixel", "round_prefer_ceil"),
        )
    ),
    resized(draw(1, 1, 2, 1, 2), scales=[1, 1, 2, 3, 1], coordinate_transformation_mode="half_pixel"),
    resized(draw(1, 2, 2, 2), scales=[1, 2, 2, 1], coordinate_transformation_mode="half_pixel"),
    resized(draw(2, 3), scales=[1, 3], coordinate_transformation_mode="asymmetric", nearest_mode="round_prefer_floor"),
    resized(draw(2, 3), scales=[1, 2], coordinate_transformation_mode="align_corners"),
    resized(draw(5), scales=[1.5]),
    resized(draw(2, 3, 2), scales=[1.5, 1.3, 2.5], mode="linear"),
    resized(draw(1, 3, 4, 2), scales=[1, 1.4, 0.6, 1], mode="linear"),
    resized(draw(1, 1, 2, 2, 2), sizes=[1, 1, 3, 1, 4], mode="linear"),
    # The shape stays; one axis has a scale all the same, which onnxruntime does not apply if no other changes.
    resized(draw(3, 2), scales=[1.3, 1.6], mode="linear"),
    resized(draw(3, 2), scales=[1.3, 1.2], mode="linear", expected=draw(3, 2)),
]
