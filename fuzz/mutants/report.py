"""What a run over mutants found, for a person."""

from __future__ import annotations

from collections import Counter

from fuzz.mutants.campaign import Found, Tried

TESTS_NAMED = 8


def write_report(found: Found, chosen: int) -> str:
    """The figures, and each survivor with the tests that it passed, as Markdown."""
    survivors = sorted((one for one in found.tried if one.killer is None), key=lambda one: one.mutant.name)
    share = 100 * found.killed / max(1, len(found.tried))
    how = Counter(one.how for one in found.tried if one.killer)
    lines = [
        f"# Mutants, seed {found.seed}",
        "",
        f"- killed: {found.killed} of {len(found.tried)} ({share:.1f} %); {_counted(how)}",
        f"- chosen: {chosen} of {found.possible}; not begun for want of time: {chosen - len(found.tried)}",
        f"- tests: {found.tests}",
        f"- excluded mutants: {sum(found.spared.values())}",
        *(f"  - {count}: {reason}" for reason, count in found.spared.items()),
        *(f"- fails on the right code too: {name}" for name in found.unsound),
        "",
        "## Survivors",
        "",
    ]
    for one in survivors:
        lines += _survivor(one)
    return "\n".join(lines) + "\n"


def _counted(how: Counter[str]) -> str:
    return ", ".join(f"{count} {word}" for word, count in how.most_common())


def _survivor(one: Tried) -> list[str]:
    said = "" if one.how == "survived" else f" ({one.how})"
    head = f"- `{one.mutant.name}` in `{one.mutant.scope or 'the module'}`: `{one.mutant.change}`{said}"
    if not one.ran and not one.left:
        return [head, "  - no test reaches it"]
    more = f", and {len(one.ran) - TESTS_NAMED} more" if len(one.ran) > TESTS_NAMED else ""
    left = f"; {one.left} slower tests had no time" if one.left else ""
    return [head, f"  - passed {', '.join(one.ran[:TESTS_NAMED])}{more}{left}"]
