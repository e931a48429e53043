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
