"""Sums of products by equations."""

from __future__ import annotations

from operator_rows.row import Row, draw, row

A, B, C = draw(2, 3), draw(3, 4, seed=1), draw(4, 2, seed=2)
BATCH = draw(2, 3, 3, seed=3)

ROWS: list[Row] = [
    row("Einsum", A, B, equation="ij,jk->ik"),
    row("Einsum", A, B, equation=" i j , j k "),
    row("Einsum", A, B, C, equation="ij,jk,kl->il"),
    row("Einsum", A, B, C, equation="ij,jk,ki"),
    row("Einsum", A, equation="ij->ji"),
    row("Einsum", A, equation="ij->i"),
    row("Einsum", A, equation="ij->"),
    row("Einsum", draw(3, 3), equation="ii"),
    row("Einsum", draw(3, 3), equation="ii->i"),
    row("Einsum", BATCH, equation="...ii->...i"),
    row("Einsum", BATCH, draw(3, seed=4), equation="bii,i->b"),
    row("Einsum", draw(2, 2, 2, seed=5), equation="iii->i"),
    row("Einsum", draw(1, 2, 3, seed=6), draw(4, 3, 2, seed=7), equation="...ij,...jk->...ik"),
    row("Einsum", A, draw(4, 3, 2, seed=7), equation="ij,...jk->...ik"),
    row("Einsum", draw(2, 3, 2, seed=8), draw(2, 4, seed=9), equation="i...,ij"),
    row("Einsum", draw(3), draw(3, seed=1), equation="i,i"),
    row("Einsum", draw(3), draw(2, seed=1), equation="i,j->ij"),
    row("Einsum", draw(3), draw(2, seed=1), equation="i,j->"),
    row("Einsum", draw(3), draw(seed=1), equation="i,->i"),
    row("Einsum", draw(2, 3, seed=10), draw(4, 3, seed=11), equation="Ab,cb->Ac"),
]
