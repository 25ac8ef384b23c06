"""Texts that the bench writes into documents, each between two markers that stay."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Markers:
    """The comments before and behind a text in a Markdown file.

    Attributes:
        name: of the text.
        command: that writes it.
    """

    name: str
    command: str

    @property
    def begin(self) -> str:
        """The line before."""
        return f"<!-- {self.name}: written by `{self.command}`, do not edit -->"

    @property
    def end(self) -> str:
        """The line behind."""
        return f"<!-- end of {self.name} -->"

    def are_in(self, document: str) -> bool:
        """Whether a document has both."""
        return self.begin in document and self.end in document

    def replace(self, document: str, text: str) -> str:
        """Return a document with another text between the markers.

        Raises:
            ValueError: it does not have them.
        """
        before, begin, rest = document.partition(self.begin)
        _, end, after = rest.partition(self.end)
        if not begin or not end:
            raise ValueError(f"The tables go between the lines {self.begin!r} and {self.end!r}, which are missing.")
        return f"{before}{begin}\n\n{text}\n\n{end}{after}"
