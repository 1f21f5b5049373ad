"""The precision that a CPU's flags suggest."""

import pytest

from tfp_realnvp.precision import best_precision


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flags\t: fpu avx2 avx512_bf16\n", "bfloat16"),
        ("model name\t: x\nflags\t\t: fpu amx_bf16 avx2\n", "bfloat16"),
        ("flags\t: fpu avx2 avx512f\n", "float32"),
        ("", "float32"),
    ],
)
def test_follows_the_flags(tmp_path, text, expected):
    path = tmp_path / "cpuinfo"
    path.write_text(text)
    assert best_precision(path) == expected


def test_is_float32_where_the_flags_are_not_known(tmp_path):
    assert best_precision(tmp_path / "missing") == "float32"
