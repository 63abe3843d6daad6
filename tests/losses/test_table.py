"""The page of losses says what the code says."""

from pathlib import Path

from docs import losses as written
from prefjax import losses


def test_the_page_is_that_of_the_code():
    page = written.page()
    assert Path(written.__file__).with_suffix(".md").read_text() == page, "python -m docs.losses writes it"
    assert all(f"`{name}(" in page for name in losses.__all__)
