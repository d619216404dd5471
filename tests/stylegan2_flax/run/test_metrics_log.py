"""metrics.jsonl: whole lines are read, damaged ones counted."""

import pytest

from stylegan2_flax.run import metrics_log


@pytest.mark.parametrize(
    "damage", ['{"step": 3, "lo', "\x00\x00\x00", "[1, 2]", '{"loss": 1.0}', '{"step": 3, "loss": "x"}']
)
def test_damaged_lines_are_left_out_and_counted(tmp_path, damage):
    path = tmp_path / "metrics.jsonl"
    metrics_log.append(path, 1, {"loss": 0.5})
    with path.open("a") as file:
        file.write(damage + "\n")
    metrics_log.append(path, 4, {"loss": float("nan")})
    assert [line["step"] for line in metrics_log.read(path)] == [1, 4]
    assert metrics_log.count_damaged(path) == 1


def test_of_no_file_there_is_nothing_to_read(tmp_path):
    assert metrics_log.read(tmp_path / "metrics.jsonl") == []
    assert metrics_log.count_damaged(tmp_path / "metrics.jsonl") == 0
