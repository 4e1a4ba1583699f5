"""What a target's answers mean: a clear no, patience, doubt, or no usable answer. One translation for all targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Final, NoReturn, TypeVar

from azure.core.exceptions import AzureError, HttpResponseError

from shared.errors import InDoubt, TargetBusy, TargetRefused, TargetUnavailable

T = TypeVar("T")
UNREADABLE: Final = (ValueError, TypeError, AttributeError, KeyError)
"""What is raised for a body that is no JSON, or JSON of another shape: the SDK's models read it lazily."""
_LONGEST_ADVISED: Final = timedelta(days=1)
_PATIENCE: Final = frozenset({408, 429})


def asked(target: str, call: Callable[[], T], *, busy: frozenset[int] = _PATIENCE) -> T:
    """A question with the reading of its answer, or something that may be repeated without harm.

    Args:
        target: who is asked, for the error's text.
        busy: the statuses that ask for patience.

    Raises:
        TargetBusy: it asks for patience.
        TargetRefused: another 4xx.
        TargetUnavailable: everything else.
    """
    try:
        return call()
    except HttpResponseError as error:
        if is_refusal(error):
            no(error, busy=busy)
        raise TargetUnavailable(f"the {target} answered {told(error)}", retry_after=_retry_after(error)) from error
    except AzureError as error:
        raise TargetUnavailable(f"the {target} did not answer: {type(error).__name__}") from error
    except UNREADABLE as error:
        raise TargetUnavailable(f"the {target}'s answer cannot be read: {error}") from error


def sought(target: str, read: Callable[[], T], *, busy: frozenset[int] = _PATIENCE) -> T | None:
    """As asked(); None where the target says that there is no such thing."""
    try:
        return asked(target, read, busy=busy)
    except TargetRefused as error:
        if error.status == 404:
            return None
        raise


def started(call: Callable[[], T], *, busy: frozenset[int] = frozenset({429})) -> T:
    """Something that has an effect. An answer that is not clear leaves open whether it has had it.

    Raises:
        TargetBusy: it has not, and may be asked for later.
        TargetRefused: it has not, and never will.
        InDoubt: it may have.
    """
    try:
        return call()
    except HttpResponseError as error:
        if is_refusal(error) and error.status_code != 408:
            no(error, busy=busy)
        raise InDoubt(f"the answer to the start was {told(error)}", retry_after=_retry_after(error)) from error
    except AzureError as error:  # reset, timed out, cut off: the request may have arrived
        raise InDoubt(f"no answer to the start: {type(error).__name__}") from error
    except UNREADABLE as error:
        raise InDoubt(f"the answer to the start cannot be read: {error}") from error


def is_refusal(error: HttpResponseError) -> bool:
    """Only a 4xx is a no. An error with status 200 is a body that could not be read: the call was taken."""
    return error.status_code is not None and 400 <= error.status_code < 500


def no(error: HttpResponseError, *, busy: frozenset[int] = _PATIENCE) -> NoReturn:
    """A clear no. Some ask for patience; every other 4xx stays a no however often it is asked."""
    if error.status_code in busy:
        raise TargetBusy(told(error), retry_after=_retry_after(error), status=error.status_code) from error
    code = error.error.code if error.error is not None else None
    raise TargetRefused(told(error), status=error.status_code, code=code) from error


def told(error: HttpResponseError) -> str:
    message = error.error.message if error.error is not None else error.reason
    code = error.error.code if error.error is not None else None
    return " ".join(str(part) for part in (error.status_code, code, message) if part)


def _retry_after(error: HttpResponseError) -> timedelta | None:
    """How long to wait, in seconds or until a time by the clock of whoever says so."""
    headers: Mapping[str, str] = getattr(error.response, "headers", {})
    advised = headers.get("Retry-After", "")
    try:
        if advised.isdecimal():
            return min(timedelta(seconds=int(advised)), _LONGEST_ADVISED)
        return min(parsedate_to_datetime(advised) - parsedate_to_datetime(headers.get("Date", "")), _LONGEST_ADVISED)
    except OverflowError:
        return _LONGEST_ADVISED
    except (TypeError, ValueError):
        return None
