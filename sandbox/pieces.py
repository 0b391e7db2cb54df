"""Cuts a label into tokens and gives each its probability, so that log-probabilities add up to the label's.

The chain rule over the tree of all labels: P(`_arrival` after `card`) is the mass of the labels that begin with
`card_arrival` over the mass of those that begin with `card`. These are the probabilities a language model
restricted to the labels would give, except that the answer is the likeliest label, not the greedy path to one.
"""

import heapq
import math
import re
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

_LABEL_TOKEN = re.compile(r"^[^_]+|_[^_]*|^$")
_PROSE_TOKEN = re.compile(r"\s*\S{1,8}|\s+")
CHARACTERS_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4
Branch = tuple[str, bool]
"""A token, and whether the label ends with it."""
Alternatives = tuple[tuple[str, float], ...]


class Piece(msgspec.Struct, frozen=True):
    """One token of an answer."""

    text: str
    logprob: float | None = None
    """Natural log; None when nobody computed a probability (prose written by hand)."""
    alternatives: Alternatives = ()
    """Tokens that could stand here with their log-probabilities, likeliest first."""


def label_tokens(label: str) -> list[str]:
    """`card_arrival` -> `card`, `_arrival`. Joined, they are the label again."""
    return _LABEL_TOKEN.findall(label)


def prose_pieces(text: str, logprob: float | None = None) -> list[Piece]:
    """Any text in pieces of at most eight visible characters; joined, they are the text again."""
    return [Piece(part, logprob) for part in _PROSE_TOKEN.findall(text)]


def estimate_tokens(texts: Sequence[str]) -> int:
    """Input tokens of some messages: one for four characters, rounded up, and four a message. An estimate."""
    return sum(-(-len(text) // CHARACTERS_PER_TOKEN) + TOKENS_PER_MESSAGE for text in texts)


class LabelTree:
    """The labels as a tree of tokens; built once for a model.

    A branch is a token after a prefix; its mass is the probability of the labels below it, and one product of
    a matrix (branches, labels) with the labels' probabilities gives the masses of all branches at once.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self._tokens = [tuple(label_tokens(label)) for label in labels]
        self._branches: dict[tuple[str, ...], dict[Branch, int]] = {}
        members: list[list[int]] = []
        for index, tokens in enumerate(self._tokens):
            for depth in range(len(tokens)):
                branches = self._branches.setdefault(tokens[:depth], {})
                row = branches.setdefault(_branch(tokens, depth), len(members))
                if row == len(members):
                    members.append([])
                members[row].append(index)
        self._members = np.zeros((len(members), len(labels)))
        for row, indices in enumerate(members):
            self._members[row, indices] = 1.0

    def pieces(self, index: int, shares: NDArray[np.float64], top: int | None = None) -> list[Piece]:
        """The label's tokens; with log-probabilities when `top` is given, and so many alternatives each."""
        tokens = self._tokens[index]
        if top is None:
            return [Piece(token) for token in tokens]
        masses: list[float] = (self._members @ shares).tolist()
        found = []
        for depth, token in enumerate(tokens):
            branches = self._branches[tokens[:depth]]
            whole = math.fsum([masses[row] for row in branches.values()])
            logprob = _log(masses[branches[_branch(tokens, depth)]], whole)
            found.append(Piece(token, logprob, _ranked(branches, masses, whole, top)))
        return found


def _branch(tokens: tuple[str, ...], depth: int) -> Branch:
    # A label that ends where another goes on has a branch of its own: the ending is part of its last token.
    return tokens[depth], depth == len(tokens) - 1


def _log(mass: float, whole: float) -> float:
    return min(0.0, math.log(mass / whole))


def _ranked(branches: Mapping[Branch, int], masses: Sequence[float], whole: float, top: int) -> Alternatives:
    if not top:
        return ()
    known = [(masses[row], token) for (token, _), row in branches.items() if masses[row] > 0]
    return tuple((token, _log(mass, whole)) for mass, token in heapq.nlargest(top, known))
