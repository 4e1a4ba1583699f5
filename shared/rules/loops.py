"""The loop guard: what a rule's run writes must not be what the rule waits for, or it would start itself for ever.

Asked when the rules are read, where placeholders stand for any text, and again with their values before a start.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from shared.rules.patterns import Exclusion, PathPattern, Template
from shared.rules.pieces import Pieces, pattern_pieces, template_pieces
from shared.rules.values import FileLandedTrigger, Rule

_MOST_STATES: Final = 2_000
"""Of the search for a path, half a second. Real rules take fewer than a hundred; of others the start is asked again."""


class _Wild(Enum):
    """What stands for more than one text, in the order of characters of a path."""

    SOME = auto()
    """One or more characters, none of them a slash."""
    ANY = auto()
    """None or more characters, none of them a slash."""
    FOLDERS = auto()
    """Any number of folders, each with its slash."""
    BELOW = auto()
    """Whatever is in a folder, however deep."""
    BEFORE = auto()
    """Nothing, or a path up to a slash."""
    REST = auto()
    """Nothing, or a slash and whatever comes after it."""


class _Other(Enum):
    """Characters that no pattern names."""

    ONE = auto()


_Token = str | _Wild
_Label = str | _Other
_SLASH: Final = "/"
_WILD_SIGNS: Final = re.compile(r"[{}*]")
_LETTERS: Final = (*b"xyzabcdefghijklmnopqrstuvwABCDEFGHIJKLMNOPQRSTUVWXYZ", *range(0x4E00, 0x9FFF))
"""To spell a character that no pattern names."""


def own_event(rule: Rule, path: str) -> bool:
    """Whether the rule waits for such a file: a path with the container first. In a folder (it ends in a slash), and
    where the path has stars, whether it waits for any.
    """
    trigger = rule.trigger
    if not isinstance(trigger, FileLandedTrigger):
        return False
    expected, written = _begins(trigger.path.text), _begins(path)
    if not (expected.startswith(written) or written.startswith(expected)):
        return False  # as nearly always: the search costs milliseconds
    return example(trigger.path, trigger.exclude, _literally(path, stars=True)) is not None


def _begins(text: str) -> str:
    """What every path begins with that a pattern or a path with stars stands for."""
    return _WILD_SIGNS.split(text, maxsplit=1)[0]


def why_not(rule: Rule, written: Iterable[str], values: Mapping[str, str], batch: Iterable[str]) -> str | None:
    """Why a run must not be started, or None.

    Args:
        written: the rule's `writes`, with their values.
        values: of `with`. A path there is one that the run writes, unless its file is in the batch.
        batch: the paths of the batch's files, the container first.
    """
    trigger = rule.trigger
    if not isinstance(trigger, FileLandedTrigger):
        return None
    landed = set(batch)
    suspects = [(f"writes: {path}", path) for path in written if own_event(rule, path)]
    suspects += [
        (f"with.{name}: {value}", value)
        for name, value in values.items()
        if value not in landed and names_a_file(value) and _waits_for(trigger, value) and not _is_needed(rule, value)
    ]
    return _STOPPED.format(suspects[0][0], trigger.path.text) if suspects else None


_STOPPED: Final = (
    "loop guard: {} is a path that the rule itself waits for ({}), so its run would start it again, for ever; have the "
    "run write elsewhere, or exclude the path"
)


def names_a_file(text: str) -> bool:
    """Whether a text looks like the path of a file: folders, and a name with a dot in it."""
    folder, slash, name = text.rpartition(_SLASH)
    return bool(folder and slash) and "." in name.strip(".")


def _waits_for(trigger: FileLandedTrigger, path: str) -> bool:
    container, _, rest = path.partition(_SLASH)
    return trigger.path.match(container, rest) is not None and not any(glob.match(rest) for glob in trigger.exclude)


def _is_needed(rule: Rule, path: str) -> bool:
    assert isinstance(rule.trigger, FileLandedTrigger)
    return rule.trigger.path.relative_name(path.partition(_SLASH)[2]) in rule.collect.all_of


def example(path: PathPattern, exclude: Sequence[Exclusion], written: tuple[_Token, ...]) -> str | None:
    """A path that is written and waited for, or None where there is none."""
    expected = _Automaton([*_tokens(path.container, stars=False), _SLASH, *_pattern(path.text.split(_SLASH)[1:])])
    excluded = _Automaton()
    for glob in exclude:
        prefix = _tokens(f"{path.container}/", stars=False)
        rest: list[_Token] = [_Wild.REST] if _SLASH in glob.text else []
        segments = glob.text.removesuffix(_SLASH).split(_SLASH)
        excluded.add([*prefix, _Wild.BEFORE, *_pattern(segments, excluding=True), *rest])
    return _shortest(expected, _Automaton(written), excluded)


def written_tokens(template: Template) -> tuple[_Token, ...]:
    """What a `writes` stands for: placeholders are any text within a segment."""
    return _template(template, stars=True)


def value_tokens(template: Template) -> tuple[_Token, ...]:
    """What a parameter stands for, where a star is a star."""
    return _template(template, stars=False)


def _template(template: Template, *, stars: bool) -> tuple[_Token, ...]:
    tokens: list[_Token] = []
    for segment in template.text.split(_SLASH):
        if stars and segment == "**":
            tokens.append(_Wild.FOLDERS)
            continue
        pieces = template_pieces(segment)
        for piece in pieces:
            whole = stars and segment.strip("*") == ""
            tokens += _tokens(piece.text, stars=stars, whole=whole) if piece.kind == "text" else [_Wild.SOME]
        tokens.append(_SLASH)
    return _ended(tokens, template.text)


def _literally(path: str, *, stars: bool) -> tuple[_Token, ...]:
    tokens: list[_Token] = []
    for segment in path.split(_SLASH):
        if stars and segment == "**":
            tokens.append(_Wild.FOLDERS)
        else:
            tokens += [*_tokens(segment, stars=stars, whole=segment == "*"), _SLASH]
    return _ended(tokens, path)


def _ended(tokens: list[_Token], text: str) -> tuple[_Token, ...]:
    """Without the slash after the last segment; a folder stands for what is in it."""
    if text.endswith(_SLASH):
        return (*tokens[:-1], _Wild.BELOW)  # the empty segment after the slash added one more
    return (*tokens, _Wild.SOME) if tokens[-1] is _Wild.FOLDERS else tuple(tokens[:-1])


def _pattern(segments: Sequence[str], *, excluding: bool = False) -> list[_Token]:
    tokens: list[_Token] = []
    for i, segment in enumerate(segments):
        last = i == len(segments) - 1
        if segment == "**":
            tokens += [_Wild.FOLDERS, _Wild.SOME] if last else [_Wild.FOLDERS]
            continue
        tokens += _pieces(pattern_pieces(segment))
        tokens += [] if last else [_SLASH]
    return tokens


def _pieces(pieces: Pieces) -> Iterator[_Token]:
    for piece in pieces:
        if piece.kind == "text":
            yield from piece.text
        else:
            yield _Wild.ANY if piece.kind == "stars" and len(pieces) > 1 else _Wild.SOME


def _tokens(text: str, *, stars: bool, whole: bool = False) -> list[_Token]:
    wild = _Wild.SOME if whole else _Wild.ANY
    return [wild if stars and sign == "*" else sign for sign in text]


@dataclass(slots=True)
class _Automaton:
    """Reads paths character by character. Its states are numbers; it may be in several at once."""

    tokens: Iterable[_Token] | None = None
    moves: list[list[tuple[_Label | None, int]]] = field(default_factory=lambda: [[]])
    empty: list[list[int]] = field(default_factory=lambda: [[]])
    ends: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        if self.tokens is not None:
            self.add(self.tokens)

    def add(self, tokens: Iterable[_Token]) -> None:
        """Reads these paths as well."""
        state = self._state()
        self.empty[0].append(state)
        for token in tokens:
            state = self._after(state, token)
        self.ends.add(state)

    def begin(self) -> frozenset[int]:
        return self._closed([0])

    def after(self, states: frozenset[int], sign: _Label) -> frozenset[int]:
        found = []
        for state in states:
            for label, to in self.moves[state]:
                if label == sign or (label is _Other.ONE and sign != _SLASH) or label is None:
                    found.append(to)
        return self._closed(found)

    def accepts(self, states: frozenset[int]) -> bool:
        return not self.ends.isdisjoint(states)

    def signs(self, states: frozenset[int]) -> set[_Label]:
        return {label for state in states for label, _ in self.moves[state] if label is not None}

    def named(self) -> set[_Label]:
        return self.signs(frozenset(range(len(self.moves))))

    def _closed(self, states: Iterable[int]) -> frozenset[int]:
        found, todo = set(), list(states)
        while todo:
            state = todo.pop()
            if state not in found:
                found.add(state)
                todo += self.empty[state]
        return frozenset(found)

    def _state(self) -> int:
        self.moves.append([])
        self.empty.append([])
        return len(self.moves) - 1

    def _after(self, state: int, token: _Token) -> int:
        """The state in which what the token stands for has been read. A label None is any character."""
        to = self._state()
        match token:
            case _Wild.SOME:
                self.moves[state].append((_Other.ONE, to))
                self.moves[to].append((_Other.ONE, to))
            case _Wild.ANY:
                self.empty[state].append(to)
                self.moves[to].append((_Other.ONE, to))
            case _Wild.FOLDERS:
                within = self._state()
                self.empty[state].append(to)
                self.moves[to].append((_Other.ONE, within))
                self.moves[within] += [(_Other.ONE, within), (_SLASH, to)]
            case _Wild.BELOW:
                self.moves[state].append((None, to))
                self.moves[to].append((None, to))
            case _Wild.BEFORE:
                within = self._state()
                self.empty[state] += [to, within]
                self.moves[within] += [(None, within), (_SLASH, to)]
            case _Wild.REST:
                within = self._state()
                self.moves[state].append((_SLASH, within))
                self.moves[within].append((None, within))
                self.empty[within].append(to)
                self.empty[state].append(to)
            case _:
                self.moves[state].append((token, to))
        return to


def _shortest(expected: _Automaton, written: _Automaton, excluded: _Automaton) -> str | None:
    """The shortest path that both read and that is not excluded."""
    named = {sign for automaton in (expected, written, excluded) for sign in automaton.named()}
    other = next(sign for sign in map(chr, _LETTERS) if sign not in named)
    begin = (expected.begin(), written.begin(), excluded.begin())
    seen, todo = {begin}, deque([(begin, "")])
    while todo and len(seen) < _MOST_STATES:
        (waits, writes, out), path = todo.popleft()
        if expected.accepts(waits) and written.accepts(writes) and not excluded.accepts(out):
            return path
        # A character that only an exclusion names leads to nothing that any other would not lead to as well.
        for sign in [
            _Other.ONE,
            *sorted({_SLASH, *expected.signs(waits), *written.signs(writes)} - {_Other.ONE}, key=str),
        ]:
            after = (expected.after(waits, sign), written.after(writes, sign), excluded.after(out, sign))
            if after[0] and after[1] and after not in seen:
                seen.add(after)
                todo.append((after, path + (sign if isinstance(sign, str) else other)))
    return None
