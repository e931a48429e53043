"""What somebody should hear of about a run that is done: many rejected rows, stale rows, columns that changed."""

from __future__ import annotations

from include.ingest.dataset.definition import RejectLimit
from include.ingest.ledger import Account

NEAR = 0.8  # of a reject limit: tomorrow's run may be over it


def concerns(account: Account, limit: RejectLimit) -> str | None:
    """In words; None where there is nothing, or the run loaded nothing."""
    if account.status != "done":
        return None
    said = [account.warning(), near_limit(account, limit), _drift(account)]
    return "; ".join(text for text in said if text) or None


def near_limit(account: Account, limit: RejectLimit) -> str | None:
    """Whether more than 80 % of what a limit allows were rejected."""
    allowed: dict[str, float] = {f"{limit.rows:,} rows": limit.rows} if limit.rows else {}
    if limit.ratio:
        allowed[f"{limit.ratio * 100:g} %"] = limit.ratio * account.read
    near = [name for name, most in allowed.items() if account.rejected > NEAR * most]
    if not near or not account.rejected:
        return None
    return f"{account.rejected:,} of {account.read:,} rows were rejected, near the limit of {' and '.join(near)}"


def _drift(account: Account) -> str | None:
    came, went = ", ".join(account.columns_come), ", ".join(account.columns_gone)
    said = [f"columns that came: {came}"] if came else []
    return "; ".join([*said, f"columns that went: {went}"] if went else said) or None
