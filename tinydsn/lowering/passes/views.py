"""Chains of reshape and transpose in one normal form.

A chain reads the elements of its source in another order and another shape. The source's axes are cut into
*atoms* so fine that every reshape of the chain only groups atoms; then the chain is a permutation of atoms
and a final shape, and the shortest chain that means the same can be written down.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Shape = tuple[int, ...]
Step = tuple[str, tuple[int, ...]]
"""("reshape", shape) or ("transpose", permutation)."""


@dataclass(frozen=True)
class View:
    """``atoms``: sizes in the source's order. ``order``: atoms in the result's order. ``shape``: result."""

    source: Shape
    atoms: tuple[int, ...]
    order: tuple[int, ...]
    shape: Shape


def identity(shape: Shape) -> View:
    """The view that changes nothing."""
    atoms = tuple(size for size in shape if size > 1)
    return View(shape, atoms, tuple(range(len(atoms))), shape)


def extend(view: View, step: Step) -> View | None:
    """The view followed by one more step; None when a reshape cuts across the atoms."""
    kind, argument = step
    if kind == "reshape":
        finer = _refine(view, argument)
        return None if finer is None else View(view.source, finer.atoms, finer.order, argument)
    groups = _groups(view, view.shape)
    assert groups is not None
    order = tuple(atom for axis in argument for atom in groups[axis])
    return View(view.source, view.atoms, order, tuple(view.shape[axis] for axis in argument))


def _groups(view: View, shape: Shape) -> list[list[int]] | None:
    """The atoms of each axis of ``shape``; None when a boundary falls into an atom."""
    groups: list[list[int]] = []
    waiting = list(view.order)
    for size in shape:
        group: list[int] = []
        room = size
        while room > 1:
            if not waiting or room % view.atoms[waiting[0]]:
                return None
            room //= view.atoms[waiting[0]]
            group.append(waiting.pop(0))
        groups.append(group)
    return groups


def _refine(view: View, shape: Shape) -> View | None:
    """The same view with atoms cut so that the axes of ``shape`` are groups of them."""
    while _groups(view, shape) is None:
        cut = _first_cut(view, shape)
        if cut is None:
            return None
        view = _split(view, *cut)
    return view


def _first_cut(view: View, shape: Shape) -> tuple[int, int] | None:
    """(atom, inner size) of the first atom that an axis boundary falls into; None if it is uneven."""
    waiting = list(view.order)
    for size in shape:
        room = size
        while room > 1:
            atom = view.atoms[waiting[0]]
            if room % atom == 0:
                room //= atom
                waiting.pop(0)
                continue
            return (waiting[0], atom // room) if atom % room == 0 else None
    return None


def _split(view: View, atom: int, inner: int) -> View:
    """Cut one atom into (outer, inner)."""
    atoms = (*view.atoms[:atom], view.atoms[atom] // inner, inner, *view.atoms[atom + 1 :])
    order: list[int] = []
    for item in view.order:
        if item == atom:
            order += [atom, atom + 1]
        else:
            order.append(item + 1 if item > atom else item)
    return View(view.source, atoms, tuple(order), view.shape)


def steps(view: View) -> tuple[Step, ...]:
    """The shortest chain with this meaning: at most reshape, transpose, reshape."""
    if view.order == tuple(range(len(view.order))):
        return () if view.shape == view.source else (("reshape", view.shape),)
    candidates = [_transpose_first(view), _reshape_first(view), _general(view)]
    return min((found for found in candidates if found is not None), key=len)


def _transpose_first(view: View) -> tuple[Step, ...] | None:
    """transpose, then perhaps reshape: possible when no axis of the source is torn apart."""
    plain = View(view.source, view.atoms, tuple(range(len(view.atoms))), view.source)
    groups = _groups(plain, view.source)
    axes = None if groups is None else _axes_in_order(groups, view.order)
    if axes is None:
        return None
    permutation = _place_ones(axes, view.source, view.shape)
    moved = tuple(view.source[axis] for axis in permutation)
    step: Step = ("transpose", permutation)
    return (step,) if moved == view.shape else (step, ("reshape", view.shape))


def _reshape_first(view: View) -> tuple[Step, ...] | None:
    """reshape, then transpose: possible when no axis of the result is put together from afar."""
    groups = _groups(view, view.shape)
    axes = None if groups is None else _axes_in_order(groups, tuple(range(len(view.atoms))))
    if axes is None:
        return None
    ones = [axis for axis, size in enumerate(view.shape) if size == 1]
    before = [*ones, *axes]
    permutation = tuple(before.index(axis) for axis in range(len(view.shape)))
    return (("reshape", tuple(view.shape[axis] for axis in before)), ("transpose", permutation))


def _general(view: View) -> tuple[Step, ...]:
    """reshape, transpose, reshape over the coarsest blocks that stay together."""
    blocks: list[list[int]] = []
    for atom in view.order:
        if blocks and blocks[-1][-1] + 1 == atom:
            blocks[-1].append(atom)
        else:
            blocks.append([atom])
    in_source = sorted(range(len(blocks)), key=lambda index: blocks[index][0])
    sizes = [math.prod(view.atoms[atom] for atom in block) for block in blocks]
    middle = tuple(sizes[index] for index in in_source)
    permutation = tuple(in_source.index(index) for index in range(len(blocks)))
    chain: list[Step] = [] if middle == view.source else [("reshape", middle)]
    chain.append(("transpose", permutation))
    if tuple(sizes) != view.shape:
        chain.append(("reshape", view.shape))
    return tuple(chain)


def _axes_in_order(groups: Sequence[Sequence[int]], order: Sequence[int]) -> list[int] | None:
    """Long axes in the order in which ``order`` visits their atoms; None if it leaves one half-way."""
    axis_of = {atom: axis for axis, group in enumerate(groups) for atom in group}
    axes: list[int] = []
    flat: list[int] = []
    for atom in order:
        if axis_of[atom] not in axes:
            axes.append(axis_of[atom])
            flat += groups[axis_of[atom]]
    return axes if flat == list(order) else None


def _place_ones(axes: Sequence[int], source: Shape, shape: Shape) -> tuple[int, ...]:
    """A permutation of the source: long axes as in ``axes``, those of size 1 where ``shape`` has them."""
    ones = [axis for axis, size in enumerate(source) if size == 1]
    long = list(axes)
    if len(source) != len(shape) or [source[axis] for axis in long] != [size for size in shape if size > 1]:
        return (*ones, *long)
    return tuple(ones.pop(0) if size == 1 else long.pop(0) for size in shape)
