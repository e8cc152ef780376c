"""Leads the id of a requirement in running text to its place in the spec."""

import re
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.builders import Builder
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.nodes import make_refnode

from runtimeinfo.spec import REQUIREMENTS

_ID = re.compile(rf"\b({'|'.join(REQUIREMENTS)})\b")

# What is a link already, what is shown as it stands, and what other pages link to by its words.
_LEFT = (nodes.reference, nodes.literal, nodes.literal_block, nodes.title)


def requirement_link(builder: Builder, page: str, id: str, content: nodes.Node) -> nodes.reference:
    """Return the link from a page to a requirement in the spec."""
    return make_refnode(builder, page, "spec", id.lower(), content)


class RequirementLinks(SphinxPostTransform):
    """Replaces each id by a link."""

    default_priority = 900  # after all else has become what it is

    def run(self, **_: Any) -> None:
        """Replace those of one page."""
        for text in list(self.document.findall(nodes.Text)):
            if _ID.search(text) and not any(isinstance(each, _LEFT) for each in _above(text)):
                text.parent.replace(text, list(self._with_links(str(text))))

    def _with_links(self, text: str) -> Iterator[nodes.Node]:
        for turn, part in enumerate(_ID.split(text)):
            if turn % 2:
                yield requirement_link(self.app.builder, self.env.docname, part, nodes.Text(part))
            elif part:
                yield nodes.Text(part)


def _above(node: nodes.Node) -> Iterator[nodes.Node]:
    while node.parent is not None:
        node = node.parent
        yield node


def setup(app: Sphinx) -> dict[str, bool]:
    """Register it."""
    app.add_post_transform(RequirementLinks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
