"""The runs side by side."""

from prefjax.report.groups import Group, group
from prefjax.report.metrics import with_interval
from prefjax.report.runs import read
from prefjax.report.table import cell, cells, html, latex, markdown
from tests.workdirs import write


def test_the_same_cells_in_markdown_latex_and_html(tmp_path):
    groups = group([read(write(tmp_path / f"a_{beta}", beta=beta, model=f"m{beta}")) for beta in (0.1, 0.2)])
    head, rows = cells(groups)
    assert head[:5] == ["run", "seeds", "gold reward", "win rate", "proxy reward"] and "KL, nats" in head
    assert [row[:2] for row in rows] == [["epsilon 0.1, model m0.1", "1"], ["epsilon 0.2, model m0.2", "1"]]
    text = markdown(groups)
    assert text.splitlines()[2] == "| " + " | ".join(rows[0]) + " |"
    tex = latex(groups)
    assert "\\toprule" in tex and rows[0][3].replace("%", "\\%") in tex and "−" not in tex
    page = html(groups)
    assert page.count("<tr") == 3 and "<small>" in page


def test_what_would_break_a_table_is_mended(tmp_path):
    groups = group([read(write(tmp_path / name, dtype=name, steps=200 + i, log_every=i + 1, model=name))
                    for i, name in enumerate(("a|b", "c_d&e"))])  # fmt: skip
    assert "a\\|b" in markdown(groups)
    assert "c\\_d\\&e" in latex(groups)


def test_a_cell_says_of_which_seeds_and_which_step_it_is(tmp_path):
    runs = [read(write(tmp_path / str(seed), seed=seed)) for seed in (0, 1, 2)]
    entries = [e | {"evals": {"answers": e["evals"]["answers"]}} for e in runs[0].evaluations[:3]]
    some = Group("a", [runs[0]._replace(evaluations=entries), *runs[1:]])
    assert cell(some, "win_rate").endswith("] (2 of 3 seeds)") and cell(some, "gold").endswith("] (step 80)")
    assert cell(Group("a", runs), "gold").endswith("]") and cell(some, "mc1") is None
    back = runs[0]._replace(end=80)
    assert cell(Group("a", [back]), "gold") == with_interval("gold", runs[0].track("gold")[2][1])


def test_a_metric_that_one_lacks_is_a_dash(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "metrics.jsonl").write_text('{"step": 1, "eval/a/gold": 2.0}\n')
    _, rows = cells(group([read(write(tmp_path / "a")), read(tmp_path / "b")]))
    assert rows[1] == ["b", "1", "2.00", *["–"] * (len(rows[1]) - 3)]
