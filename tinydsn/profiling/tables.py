"""A profile as short tables for the terminal."""

from __future__ import annotations

from typing import Any

from tinydsn.profiling.data import FRONT_END, RUNTIME, UNEXPLAINED, Part, Profile

Row = dict[str, Any]
LARGEST_SYMBOLS = 12


def tables(profile: Profile) -> dict[str, Any]:
    """Tables by title, then single values: what ``emit`` prints. Instructions are means a frame."""
    patterns = profile.patterns
    operators = [part for part in profile.parts if part.group not in (FRONT_END, RUNTIME, UNEXPLAINED)]
    steps = [part for part in profile.parts if part.group == FRONT_END]
    rest = [part for part in profile.parts if part.group in (RUNTIME, UNEXPLAINED)]
    return {
        "operators (instructions a frame)": [_operator(part, profile) for part in operators],
        "front end": [_part(part, profile) for part in steps],
        "runtime": [_part(part, profile) for part in rest],
        "groups": groups(profile),
        "gates": [
            {
                "gate": row.gate,
                "adds": round(row.adds),
                "of it operators": round(row.operators),
                "when skipped": round(row.skipped, 1),
                **{f"open, {name}": round(row.used[name], 3) for name in patterns},
            }
            for row in profile.gates
        ],
        "flash (bytes)": [
            {"group": name, "bytes": size, "share %": _percent(size, profile.flash)}
            for name, size in profile.flash_by_group().items()
        ],
        "largest symbols": [
            {"symbol": row.name, "group": row.group, "bytes": row.bytes}
            for row in profile.symbols[:LARGEST_SYMBOLS]
        ],
        "RAM (bytes)": [
            {"what": "arena", "bytes": profile.ram.arena},
            *({"what": name, "bytes": size} for name, size in profile.ram.states),
        ],
        "board": profile.board,
        "frames": profile.frames,
        "signal": profile.signal,
        **{f"instructions.{name}": round(total.mean) for name, total in profile.totals.items()},
        **{f"worst frame.{name}": total.max for name, total in profile.totals.items()},
        **{f"non-MAC share.{name}": round(profile.non_mac_share(name), 4) for name in patterns},
        **{f"unexplained.{name}": round(profile.unexplained(name), 5) for name in patterns},
        "flash": profile.flash,
        "ram": profile.ram.total,
        "arena, most in use": max(profile.ram.in_use, default=0),
        "stack": profile.stack,
    }


def groups(profile: Profile) -> list[Row]:
    """Instructions and shares by kind of work."""
    order = profile.by_group(max(profile.patterns, key=lambda name: profile.totals[name].mean))
    found = {name: profile.by_group(name) for name in profile.patterns}
    return [
        {
            "group": group,
            **{name: round(found[name].get(group, 0.0)) for name in profile.patterns},
            **{f"{name} %": round(100 * profile.share(group, name), 2) for name in found},
        }
        for group in order
    ]


def _operator(part: Part, profile: Profile) -> Row:
    most = max(part.instructions.values())
    return {
        "operator": part.name,
        "group": part.group,
        "gate": part.region,
        "MACs": part.macs,
        **{name: round(part.instructions[name]) for name in profile.patterns},
        "instr./MAC": round(most / part.macs, 2) if part.macs else None,
        "largest function": next(iter(part.functions), ""),
    }


def _part(part: Part, profile: Profile) -> Row:
    return {
        "part": part.name,
        **{name: round(part.instructions[name]) for name in profile.patterns},
        **{
            f"{name} %": _percent(part.instructions[name], profile.totals[name].mean)
            for name in profile.patterns
        },
    }


def _percent(value: float, total: float) -> float:
    return round(100 * value / total, 2) if total else 0.0
