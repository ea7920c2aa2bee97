"""The code in a Markdown page: blocks in fences, indented blocks, which are shell, and spans between backticks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).resolve().parents[2]
# What benchmarks write between their marks is no text of the page.
WRITTEN = re.compile(r"<!-- begin .*?<!-- end [^>]*-->", re.DOTALL)
FENCED = re.compile(r"^```(?P<language>\w*).*\n(?P<code>(?:.*\n)*?)```$", re.MULTILINE)
INDENTED = re.compile(r"^(?:#.*)?\n(?P<code>(?: {4}.*\n)+)", re.MULTILINE)
SPAN = re.compile(r"(?<!`)`(?P<code>[^`]+)`(?!`)")


@dataclass(frozen=True)
class Code:
    """A block or a span: `language` is that of its fence, "sh" of an indented block, "" of a span."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """Those that readers are sent to, from the root."""
    found = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("egs/*/README.md")]
    return sorted(str(path.relative_to(ROOT)) for path in found)


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def code_of(page: str, text: str | None = None) -> list[Code]:
    """All of a page's code, in its order; `text` in place of the file's."""
    text = WRITTEN.sub(blank, (text_of(page) if text is None else text) + "\n")
    found = []
    for pattern, language in ((FENCED, None), (INDENTED, "sh"), (SPAN, "")):
        for match in pattern.finditer(text):
            line = text.count("\n", 0, match.start("code")) + 1
            code = dedent(match["code"]) if language != "" else " ".join(match["code"].split())
            found.append(Code(page, line, language if language is not None else match["language"], code))
        text = pattern.sub(blank, text)
    return sorted(found, key=lambda code: code.line)


def files_shown(page: str) -> dict[str, str]:
    """{path from the root: content} of the files that a page shows: under a heading that ends with the path."""
    sections = re.split(r"^## ", text_of(page), flags=re.MULTILINE)
    named = [(re.match(r".*: `(\S+)`\n", section), section) for section in sections]
    return {name.group(1): FENCED.search(section)["code"] for name, section in named if name}


def blank(match: re.Match[str]) -> str:
    """As many lines, and nothing in them."""
    return "\n" * match.group().count("\n")
