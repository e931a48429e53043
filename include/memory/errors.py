"""What can go wrong in an audit. Every message names the process and the way out."""

from __future__ import annotations


class MemoryAuditError(Exception):
    """Base of all errors of this domain."""


class ProcessGone(MemoryAuditError):
    """The process ended, or its id belongs to another by now."""


class NoAgent(MemoryAuditError):
    """The process has no agent that could be asked: it was switched off, never installed, or may not be signalled."""


class NoAnswer(MemoryAuditError):
    """The agent did not answer in time: its main thread is in a long call of compiled code, or it was busy."""


class BadAnswer(MemoryAuditError):
    """The agent's answer is not what was asked for."""


class BadSize(MemoryAuditError, ValueError):
    """What should be a number of bytes is not one."""


class MemoryBudgetExceeded(MemoryAuditError):
    """More memory was kept than may be. The message is the report of what was kept; `kept` has it in figures."""

    def __init__(self, report: str, kept: object = None) -> None:
        super().__init__(report)
        self.kept = kept
