"""What a value brings along when it is copied from somewhere: each cause by its name.

No message quotes the text, which may be secret or stand where a secret should.
"""

import re
import unicodedata

BLANK = " \t\r\n\f\v"
"""What may stand around a value, and is cut off. No more than that: what is invisible is named."""

_QUOTES = (("'", "'"), ('"', '"'), ("`", "`"), ("\u201c", "\u201d"), ("\u2018", "\u2019"))
_REFERENCE = re.compile(r"\$\w+|\$?\{\{?[^{}]*\}\}?|<[^<>]*>")
_NAMED = {
    **dict.fromkeys("\r\n\v\f\x85\u2028\u2029", "a line break"),
    "\ufeff": "a byte order mark (BOM)",
    "\t": "a tab",
}
_KINDS = {
    "Zs": "a no-break space, or another space that is none of the keyboard's",
    "Cf": "an invisible (zero-width) character",
    "Cc": "a control character",
}
"""By Unicode's general category."""


def require_clean(name: str, text: str) -> None:
    """Raise ValueError for what no value of the setting `name` can hold, saying what it is.

    `text` as it came, but for blanks around it.
    """
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("is not text in UTF-8")
    for character in text:
        if fault := _invisible(character):
            raise ValueError(f"holds {fault}: type or copy the value anew")
    if re.match(rf"(export\s+|set\s+)?{re.escape(name)}(_FILE)?\s*[=:]", text, re.IGNORECASE):
        raise ValueError(f"holds its own name: leave out what stands up to and with `{name}=`")
    if re.match(r"(export|set)\s", text):
        raise ValueError("holds a whole line of a shell: give the value alone")
    if any(len(text) > 1 and text[0] == one and text[-1] == other for one, other in _QUOTES):
        raise ValueError("is in quotes: leave them out")
    if text[0] in "\"'`\u201c\u201d\u2018\u2019" or text[-1] in '"`\u201c\u201d\u2018\u2019':
        raise ValueError("has a quote at one end: leave it out")
    if re.match(r"(Authorization\s*:|Bearer\s|Basic\s)", text, re.IGNORECASE):
        raise ValueError("holds a header's words (Bearer): give what follows them")
    if _REFERENCE.fullmatch(text):
        raise ValueError("is a placeholder that nothing has replaced: give the value")


def _invisible(character: str) -> str | None:
    if " " <= character <= "~":
        return None
    if named := _NAMED.get(character):
        return named
    return _KINDS.get(unicodedata.category(character))
