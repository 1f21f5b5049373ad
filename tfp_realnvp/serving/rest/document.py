"""Bytes to a JSON object, with the sentences of TensorFlow Serving's parser where it fails."""

from __future__ import annotations

import itertools
import json
from typing import Any

from tfp_realnvp.serving.rest.refusal import Refusal

# What Python's parser says, and what RapidJSON does.
_SENTENCES = {
    "Expecting value": "Invalid value.",
    "Expecting property name": "Missing a name for object member.",
    "Illegal trailing comma": "Missing a name for object member.",
    "Expecting ':'": "Missing a colon after a name of object member.",
    "Expecting ','": "Missing a comma or } after an object member.",
    "Unterminated string": "Missing a closing quotation mark in string.",
    "Invalid control character": "Invalid encoding in string.",
    "Invalid \\": "Invalid escape character in string.",
}
_DECODER = json.JSONDecoder()
# Of a value that a sentence shows.
MOST_SHOWN = 256


def parsed(body: bytes) -> dict[str, Any]:
    """Returns the object at the beginning of a body; NaN and Infinity are numbers.

    As in TensorFlow Serving, what follows the object is not looked at.

    Raises:
        Refusal: there is none.
    """
    try:
        text = body.decode().lstrip(" \t\r\n")
    except UnicodeDecodeError as error:
        raise _no_json("Invalid encoding in string.", error.start) from error
    if not text:
        raise Refusal("JSON Parse error: The document is empty")
    skipped = len(body) - len(text.encode())
    try:
        found, _ = _DECODER.raw_decode(text)
    except json.JSONDecodeError as error:
        sentence = next((s for k, s in _SENTENCES.items() if error.msg.startswith(k)), error.msg)
        if error.msg.startswith("Expecting ','") and _in_list(text, error.pos):
            sentence = "Missing a comma or ] after an array element."
        offset = skipped + len(text[: error.pos].encode())
        raise _no_json(sentence, offset) from error
    except RecursionError:
        raise Refusal("JSON Parse error: The document is nested too deeply.") from None
    except ValueError as error:  # a whole number of thousands of digits
        raise _no_json("Number too big to be stored in double.", skipped) from error
    if not isinstance(found, dict):
        raise Refusal(f"JSON Value: {shown(found)} Is not object")
    return found


def shown(value: Any) -> str:
    """Returns the beginning of a value as JSON."""
    text, chunks = "", json.JSONEncoder().iterencode(value)
    for chunk in itertools.islice(chunks, MOST_SHOWN):
        text += chunk
    return text[:MOST_SHOWN]


def _no_json(sentence: str, offset: int) -> Refusal:
    return Refusal(f"JSON Parse error: {sentence} at offset: {offset}")


def _in_list(text: str, end: int) -> bool:
    """Returns whether the innermost bracket that is open at a place is that of a list."""
    depth = 0
    for character in reversed(text[:end]):
        if character in "]}":
            depth += 1
        elif character in "[{":
            if depth == 0:
                return character == "["
            depth -= 1
    return False
