"""Products of vectors, matrices and tensors."""

from __future__ import annotations

import numpy as np

from function_rows.row import Row, draw

X = draw(3, 4)
SQUARE = draw(3, 3)
EQUATIONS = [
    ("ij->ji", [(3, 4)]),
    ("ij->", [(3, 4)]),
    ("ij", [(3, 4)]),
    ("ba", [(3, 4)]),
    ("ii", [(3, 3)]),
    ("ii->i", [(3, 3)]),
    ("iij->ji", [(3, 3, 2)]),
    ("iii->i", [(2, 2, 2)]),
    ("ij,jk", [(3, 4), (4, 2)]),
    ("ij,jk->ki", [(3, 4), (4, 2)]),
    ("bij,bjk->bik", [(2, 3, 4), (2, 4, 3)]),
    ("bsi,io->bso", [(2, 3, 4), (4, 2)]),
    ("bhqd,bhkd->bhqk", [(2, 2, 3, 4), (2, 2, 1, 4)]),
    ("i,i", [(4,), (4,)]),
    ("i,i->i", [(4,), (4,)]),
    ("i,j->ji", [(4,), (3,)]),
    ("ij,ij->i", [(3, 4), (3, 4)]),
    ("ijk,jil->kl", [(2, 3, 4), (3, 2, 5)]),
    ("ab,cd,bc->ad", [(2, 3), (4, 2), (3, 4)]),
    ("abc,cde->abde", [(2, 3, 4), (4, 2, 3)]),
    ("abcd,bced->ae", [(2, 3, 2, 2), (3, 2, 4, 2)]),
    ("...ij,...jk->...ik", [(2, 3, 4), (4, 2)]),
    ("...i,oij,...j->...o", [(2, 3), (2, 3, 4), (2, 4)]),
    ("i...,i...->...", [(3, 2), (3, 1)]),
    ("...ii->...i", [(2, 3, 3)]),
    ("ij,ik->ijk", [(1, 4), (3, 2)]),
    ("ii,ij->j", [(3, 3), (3, 2)]),
    (",ij->ij", [(), (3, 4)]),
    ("i,j,k->", [(2,), (3,), (4,)]),
    ("bijk,bkl->bijl", [(2, 3, 4, 2), (2, 2, 3)]),
    ("bik,bklm->mbli", [(2, 3, 4), (2, 4, 3, 2)]),
    ("abijkl,baklmn->anmbij", [(2, 3, 2, 1, 2, 2), (3, 2, 2, 2, 1, 2)]),
]

ROWS: list[Row] = [
    *(
        Row("einsum", (equation, *(draw(*shape, seed=i) for i, shape in enumerate(shapes))))
        for equation, shapes in EQUATIONS
    ),
    Row("tensordot", (draw(2, 3, 4), draw(3, 4, 2, seed=1))),
    Row("tensordot", (draw(2, 3, 4), draw(4, 2, 2, seed=1), 1)),
    Row("tensordot", (draw(2, 3, 4), draw(4, 2, 2, seed=1)), {"dims": ([2, 0], [0, -1])}),
    Row("tensordot", (draw(2), draw(3, seed=1), 0)),
    Row("vdot", (draw(4), draw(4, seed=1))),
    Row("inner", (draw(2, 3, 4), draw(5, 4, seed=1))),
    Row("inner", (X, np.array(1.5))),
    Row("trace", (SQUARE,)),
    Row("trace", (X,)),
    Row("kron", (draw(2, 3), draw(3, 2, seed=1))),
    Row("kron", (draw(2), draw(3, 2, seed=1))),
    Row("addmv", (draw(3), X, draw(4, seed=1)), {"beta": 0.5, "alpha": 2.0}),
    Row("addr", (draw(3, 4), draw(3, seed=1), draw(4, seed=2)), {"beta": 0.5, "alpha": 2.0}),
    Row("addbmm", (draw(3, 2), draw(2, 3, 4), draw(2, 4, 2)), {"beta": 0.5, "alpha": 2.0}),
    Row("addbmm", (draw(2), draw(2, 3, 4), draw(2, 4, 2))),
    Row("bilinear", (draw(2, 3), draw(2, 4), draw(2, 3, 4, seed=1))),
    Row("bilinear", (draw(2, 1, 3), draw(2, 1, 4), draw(5, 3, 4, seed=1), draw(5))),
]
