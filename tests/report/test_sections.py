"""The parts of the page that are tables and texts."""

import re
from html import unescape

import pytest

from prefjax.report.groups import Group, group
from prefjax.report.runs import read
from prefjax.report.sections import audits, examples, slices_of
from tests.workdirs import SLICES, write


def plain(markup):
    return unescape(re.sub(r"<[^>]+>", " ", markup))


def test_slices_are_rows_with_what_changed_and_few_prompts_are_grey(tmp_path):
    made = slices_of(Group("a", [read(write(tmp_path / "run", prompts=160))]), several=False)
    rows = re.findall(r"<tr.*?</tr>", made, re.S)
    assert {re.findall(r'scope="row"[^>]*>([^<]*)', row)[0] for row in rows[1:]} == set(SLICES)
    grey = [('class="few"' in row, int(re.findall(r"<td>(\d+)</td>", row)[0]) < 30) for row in rows[1:]]
    assert sorted(grey) == [(False, False)] * 4 + [(True, True)]
    assert "gold reward since the start" in plain(rows[0]) and "fewer than 30 prompts" in made
    assert "<h3>" not in made and "<h3>a</h3>" in slices_of(Group("a", [read(tmp_path / "run")]), several=True)


def test_examples_say_what_ranks_them_and_whose_answers_stand_before(tmp_path):
    groups = group([read(write(tmp_path / str(beta), beta=beta)) for beta in (0.1, 0.2)])
    assert "Before is the first evaluation of epsilon 0.1." in examples(groups)
    alone = examples(groups[:1])
    assert "whose gold reward rose and fell most" in alone and "Before is" not in alone
    assert alone.count('<article class="example"') == 12 and "among the worst · gold reward −" in plain(alone)


@pytest.mark.parametrize("part", [lambda group: slices_of(group, several=False), lambda group: examples([group])])
def test_what_is_missing_is_told(part, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert 'class="missing"' in part(Group("a", [read(tmp_path)]))


def test_an_audit_that_several_groups_share_is_told_once(run):
    run = run._replace(audit={"of": "another version"})
    made = audits([Group("a", [run]), Group("b", [run])])
    assert made.count("was not written by this version") == 1 and "another version" in made
    assert "The pairs were not audited" in audits([Group("a", [run._replace(audit=None)])])
