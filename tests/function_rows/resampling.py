"""Changes of resolution."""

from __future__ import annotations

from typing import Any

from function_rows.row import Row, draw

LINE = draw(1, 2, 5)
IMAGE = draw(1, 2, 3, 4)
VOLUME = draw(1, 1, 3, 2, 4)
LONG = draw(1, 1, 2, 67)


def resampled(x: Any, mode: str, *cases: dict[str, Any]) -> list[Row]:
    return [Row("interpolate", (x, case.pop("size", None)), {**case, "mode": mode}) for case in cases]


ROWS: list[Row] = [
    Row("interpolate", (IMAGE, None, 2)),
    *[
        row
        for mode in ("nearest", "nearest-exact")
        for row in [
            *resampled(LINE, mode, {"size": 7}, {"scale_factor": 0.6}, {"scale_factor": 3}),
            *resampled(IMAGE, mode, {"size": (2, 9)}, {"scale_factor": (1.5, 2.0)}, {"scale_factor": (1.0, 2.0)}),
            *resampled(VOLUME, mode, {"size": (2, 3, 4)}, {"scale_factor": 2}),
        ]
    ],
    *resampled(LINE, "linear", {"size": 8}, {"size": 3, "align_corners": True}, {"scale_factor": 1.7}),
    *resampled(LINE, "linear", {"scale_factor": 1.7, "recompute_scale_factor": True}, {"scale_factor": 1.1}),
    *resampled(IMAGE, "bilinear", {"size": (5, 3)}, {"size": (1, 7), "align_corners": True}, {"scale_factor": 2}),
    *resampled(IMAGE, "bilinear", {"size": (5, 3), "antialias": True}, {"scale_factor": 0.7, "antialias": True}),
    *resampled(VOLUME, "trilinear", {"size": (2, 3, 5)}, {"scale_factor": 1.6, "align_corners": True}),
    *resampled(IMAGE, "bicubic", {"size": (5, 3)}, {"size": (4, 7), "align_corners": True}, {"scale_factor": 1.4}),
    *resampled(IMAGE, "bicubic", {"size": (2, 7), "antialias": True}, {"scale_factor": 0.7, "antialias": True}),
    *resampled(IMAGE, "bicubic", {"size": (2, 3), "antialias": True, "align_corners": True}),
    *resampled(LINE, "area", {"size": 3}, {"scale_factor": 1.7}),
    *resampled(IMAGE, "area", {"size": (2, 7)}),
    *resampled(VOLUME, "area", {"size": (2, 1, 3)}),
    # Long axes go in blocks.
    *resampled(LONG, "nearest", {"size": (3, 70)}),
    *resampled(LONG, "bilinear", {"size": (2, 90)}),
    *resampled(LONG, "area", {"size": (1, 9)}),
    Row("channel_shuffle", (draw(2, 6, 2), 3)),
    Row("channel_shuffle", (draw(1, 4, 1, 2), 2)),
    Row("pixel_shuffle", (draw(2, 8, 2, 3), 2)),
    Row("pixel_shuffle", (draw(9, 1, 2), 3)),
    Row("pixel_unshuffle", (draw(2, 1, 4, 6), 2)),
    Row("pixel_unshuffle", (draw(2, 3, 6), 3)),
]
