"""Reads what Event Grid delivers, in either schema, into an event or the reason why it is refused."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Final, TypedDict

from shared.events import addresses
from shared.events.breaches import TAG, breaches, signal_and_monitor
from shared.events.envelopes import Envelope, Fields, Malformed, opened, printable
from shared.events.values import DriftDetected, Event, FileLanded, ModelRegistered, Reason, Refused, RunEnded

# CopyBlob is not among them: on accounts with a hierarchical namespace its event may come when the copy begins, and
# the event does not tell which kind of account it is. CreateFile and SftpCreate come with every upload, too early.
_COMPLETE: Final = frozenset({"flushwithclose", "putblob", "putblocklist", "sftpcommit"})
_FINAL: Final = {"completed": "Completed", "failed": "Failed", "canceled": "Canceled", "cancelled": "Canceled"}
# Where AML's step runs name the run of the whole monitor; undocumented, so only the last resort.
_PARENTS: Final = ("azureml.rootpipelinerunid", "azureml.pipelinerunid")


def parse(raw: str, *, accounts: Collection[str], workspace_id: str | None = None) -> Event | Refused:
    """Reads one delivered event: an object, or an array of one. Never raises, whatever the text.

    Args:
        accounts: names (lower case) of the storage accounts whose events count.
        workspace_id: ARM id of the only workspace whose events count; None lets every workspace's count.
    """
    outer = Fields("", {})
    try:
        outer = opened(raw)
        return _read(Envelope.of(outer), accounts, workspace_id)
    except _Refusal as refusal:
        return _refused(refusal.reason, refusal, outer)
    except Malformed as problem:
        return _refused(Reason.MALFORMED, problem, outer)
    except RecursionError:
        return _refused(Reason.MALFORMED, "nested too deeply", outer)


class _Refusal(Exception):
    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason = reason
        super().__init__(detail)


def _refused(reason: Reason, detail: object, outer: Fields) -> Refused:
    return Refused(
        reason=reason,
        detail=printable(str(detail)),
        event_id=outer.label("id"),
        event_type=outer.label("eventType") or outer.label("type"),
        subject=outer.label("subject"),
    )


def _read(envelope: Envelope, accounts: Collection[str], workspace_id: str | None) -> Event:
    from_storage, from_workspace = _FROM_STORAGE.get(envelope.type), _FROM_WORKSPACE.get(envelope.type)
    if from_storage is not None:
        account = addresses.account(envelope.source)
        if account is None or account not in accounts:
            raise _Refusal(Reason.FOREIGN_SOURCE, f"{envelope.source!r} is not a storage account of the settings")
        return from_storage(envelope, account, envelope.data())
    if from_workspace is not None:
        if not addresses.same_workspace(envelope.source, workspace_id):
            raise _Refusal(Reason.FOREIGN_SOURCE, f"{envelope.source!r} is not the workspace of the settings")
        return from_workspace(envelope, envelope.data())
    raise _Refusal(Reason.UNKNOWN_TYPE, f"there is no use for events of type {envelope.type}")


class _Common(TypedDict):
    source: str
    event_id: str
    subject: str
    time: datetime


def _common(envelope: Envelope) -> _Common:
    return _Common(source=envelope.source, event_id=envelope.id, subject=envelope.subject, time=envelope.time)


# --- storage ----------------------------------------------------------------------------------------------------------


def _file_created(envelope: Envelope, account: str, data: Fields) -> FileLanded:
    api = data.required("api")
    if api.casefold() not in _COMPLETE:
        raise _Refusal(Reason.NOT_COMPLETE, f"{api} does not say that the file is complete")
    size = data.integer("contentLength")
    if size == 0:
        raise _Refusal(Reason.EMPTY_FILE, "the file has no content")
    container, path = addresses.blob(envelope.subject)
    return FileLanded(
        **_common(envelope),
        account=account,
        container=container,
        path=path,
        etag=addresses.bare_etag(data.required("eTag")),
        api=api,
        sequencer=data.text("sequencer") or "",
        size=size,
        url=data.note("url") or "",
        content_type=data.note("contentType") or "",
        truncated=data.truncated,
    )


def _file_renamed(envelope: Envelope, account: str, data: Fields) -> FileLanded:
    container, path = addresses.blob(envelope.subject)  # the destination
    return FileLanded(
        **_common(envelope),
        account=account,
        container=container,
        path=path,
        etag=None,
        api=data.note("api") or "",
        sequencer=data.text("sequencer") or "",
        url=data.note("destinationUrl") or "",
        renamed=True,
        renamed_from=data.note("sourceUrl") or "",
        truncated=data.truncated,
    )


def _no_landing(envelope: Envelope, account: str, data: Fields) -> FileLanded:
    raise _Refusal(Reason.NOT_A_LANDING, f"{envelope.type} brings no new file")


def _folder_renamed(envelope: Envelope, account: str, data: Fields) -> FileLanded:
    advice = "it names no files: `python -m relearn backfill RULE --since TIME` takes in those that are there now"
    raise _Refusal(Reason.NOT_A_LANDING, f"a folder was renamed, and {advice}")


# --- the workspace ----------------------------------------------------------------------------------------------------


def _model_registered(envelope: Envelope, data: Fields) -> ModelRegistered:
    name, version = data.text("modelName"), data.text_or_integer("modelVersion")
    if name is None or version is None:
        subject_name, subject_version = addresses.model(envelope.subject)
        name, version = name or subject_name, version or subject_version
    return ModelRegistered(
        **_common(envelope),
        name=name,
        version=version,
        tags=data.mapping("modelTags"),
        properties=data.mapping("modelProperties"),
        truncated=data.truncated,
    )


def _run_status_changed(envelope: Envelope, data: Fields) -> DriftDetected | RunEnded:
    # A breach does not fail the monitor's step, and every status after the tag is announced as well: so the tag
    # decides, not the status, and the run's id makes one event of them all.
    tags = data.nested("runTags")
    text = tags.note(TAG) or ""
    if text.strip():
        return _breach(envelope, data, text, truncated=tags.truncated)
    status = data.required("runStatus")
    final = _FINAL.get(status.casefold())
    if final is None:
        raise _Refusal(Reason.NOT_FINAL, f"the run's status is {status}")
    return _run_ended(envelope, data, final)


def _run_completed(envelope: Envelope, data: Fields) -> RunEnded:
    return _run_ended(envelope, data, "Completed")


def _run_ended(envelope: Envelope, data: Fields, status: str) -> RunEnded:
    return RunEnded(
        **_common(envelope),
        run_id=data.text("runId") or addresses.run(envelope.subject),
        status=status,
        experiment=data.note("experimentName") or "",
        run_type=data.note("runType") or "",
        tags=data.mapping("runTags"),
        properties=data.mapping("runProperties"),
        truncated=data.truncated,
    )


def _breach(envelope: Envelope, data: Fields, text: str, *, truncated: bool) -> DriftDetected:
    signal, monitor = signal_and_monitor(text, data.text("experimentName"))
    parents = (data.nested(bag).text(key) for bag in ("runProperties", "runTags") for key in _PARENTS)
    return DriftDetected(
        **_common(envelope),
        run_id=data.text("runId") or addresses.run(envelope.subject),
        monitor=monitor or next(filter(None, parents), None),
        signal=signal,
        breaches=breaches(text),
        text=text,
        truncated=truncated,
    )


def _dataset_drift(envelope: Envelope, data: Fields) -> DriftDetected:
    return DriftDetected(
        **_common(envelope),
        run_id=data.text("runId") or addresses.run(envelope.subject),
        monitor=data.text("dataDriftName"),
        coefficient=data.number("driftCoefficient"),
        generation=1,
    )


_STORAGE: Final = "Microsoft.Storage."
_FROM_STORAGE: Final[dict[str, Callable[[Envelope, str, Fields], FileLanded]]] = {
    _STORAGE + "BlobCreated": _file_created,
    _STORAGE + "BlobRenamed": _file_renamed,
    _STORAGE + "BlobDeleted": _no_landing,
    _STORAGE + "BlobTierChanged": _no_landing,
    _STORAGE + "DirectoryCreated": _no_landing,
    _STORAGE + "DirectoryRenamed": _folder_renamed,
    _STORAGE + "DirectoryDeleted": _no_landing,
    _STORAGE + "AsyncOperationInitiated": _no_landing,
    _STORAGE + "BlobInventoryPolicyCompleted": _no_landing,
    _STORAGE + "LifecyclePolicyCompleted": _no_landing,
}

_WORKSPACE: Final = "Microsoft.MachineLearningServices."
_FROM_WORKSPACE: Final[dict[str, Callable[[Envelope, Fields], Event]]] = {
    _WORKSPACE + "ModelRegistered": _model_registered,
    _WORKSPACE + "RunStatusChanged": _run_status_changed,
    _WORKSPACE + "RunCompleted": _run_completed,
    _WORKSPACE + "DatasetDriftDetected": _dataset_drift,
}
