"""What can go wrong in an ingest. Every message names what, where and the way out."""

from __future__ import annotations

from datetime import datetime


class IngestError(Exception):
    """Base of all errors of this domain. A retry cannot help unless the class says that it can."""

    retryable = False


class DatasetError(IngestError):
    """A dataset file is wrong. The message names the file, the line and the field."""


class SourceMissing(IngestError):
    """The file of the data interval is not there yet."""

    retryable = True


class SourceLate(IngestError):
    """The file did not come while the run waited for it."""


class SourceUnnamed(IngestError):
    """The run's file has no name: there is no logical date, or the dataset's `source` can't be rendered."""


class SourceAbsent(IngestError):
    """The file that a person named is not there: a typing error is told at once, and not waited for."""


class SourceRefused(IngestError):
    """The path or URL is none that a run may read, or of a storage that is not known here."""


class SourceChanged(IngestError):
    """The file is not the one that was planned: its size, time or content differs."""


class HeaderMismatch(IngestError):
    """The header of the file does not hold the columns that the dataset names."""


class TargetMismatch(IngestError):
    """The target table does not fit the dataset. The message lists each difference."""


class TargetRefused(IngestError):
    """The target's own constraint or trigger refused a row."""


class HookError(IngestError):
    """The dataset's `clean` hook could not be loaded, raised, or returned something unusable."""


class OrderUnknown(IngestError):
    """An older file can't be placed: what newer files held of the table is not known any more."""


class RejectLimitExceeded(IngestError):
    """More rows were rejected than the dataset allows. Nothing touched the target."""


class DeleteLimitExceeded(IngestError):
    """Mode `replace` would delete more rows than the dataset allows. Nothing touched the target."""


class AccountMismatch(IngestError):
    """The counts do not add up, so the run rolled back. This is a defect worth a report."""


class StagingLost(IngestError):
    """A crash of the server emptied the staging table of this run. Loading the chunks again helps."""

    retryable = True


class StorageAway(IngestError):
    """The object storage can't be reached, or refuses to be read."""

    retryable = True


class SourceDamaged(IngestError):
    """A file is cut short or damaged, or it is packed or written in a way that is not read here."""


class UnpackedTooLarge(IngestError):
    """A packed file holds more than the dataset's `unpack_limit` allows."""


class ScratchFull(IngestError):
    """The scratch folder has no room for the unpacked file."""

    retryable = True


class ReplayRefused(IngestError):
    """Rejected rows can't be replayed: their run, their table or their bytes are not there. Nothing was changed."""


class CorrectionRefused(IngestError):
    """A correction of a rejected row is no record, or the row is not open any more. Nothing was changed."""


class ChangedMeanwhile(CorrectionRefused):
    """Somebody else has changed the row since it was read. Nothing was changed."""

    def __init__(self, message: str, who: str, at: datetime, action: str, after: str | None) -> None:
        super().__init__(message)
        self.who, self.at, self.action, self.after = who, at, action, after
