"""The playground's files and what it is told; `test_browser.py` uses it."""

import json
import re
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from rest_server import half, running, until

import tfp_realnvp as nvp
from tfp_realnvp import serving
from tfp_realnvp.serving.about import (
    FILE,
    checked_reference,
    latent_shapes,
    read_about,
    write_about,
)

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")

from tfp_realnvp.serving.rest.application import application
from tfp_realnvp.serving.rest.limits import Limits
from tfp_realnvp.serving.rest.model_config import models_of

FOLDER = Path(serving.__file__).with_name("playground")
FILES = sorted(FOLDER.iterdir())
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    base = tmp_path_factory.mktemp("served") / "half"
    base.mkdir()
    about = half(base, 1) / FILE
    about.parent.mkdir()
    about.write_text('{"flow": "half"}')
    damaged = base.parent / "damaged" / "1" / "saved_model.pb"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"damaged")
    models = models_of([base, damaged.parents[1]])
    with running(application(models, limits=Limits(max_rows=7)), ready=False) as server:
        until(lambda: server.ask("GET", "/playground/models")[1]["models"][1]["error"])
        yield server


def get(server, path):
    """Returns the code, the headers and the text of an answer."""
    try:
        with urllib.request.urlopen(server.url + path) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_is_served_as_what_it_is(served, path):
    page = path.suffix == ".html"
    code, headers, text = get(served, "/" if page else f"/playground/{path.name}")
    assert code == 200 and text == path.read_text()
    assert headers.get_content_type() == ("text/html" if page else TYPES[path.suffix])
    policy = dict(p.split(" ", 1) for p in headers["content-security-policy"].split("; "))
    assert policy.pop("default-src") == "'self'" and set(policy.values()) == {"'none'"}
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_file_names_another_machine_or_runs_what_is_inline(path):
    text = path.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"\b(https?|wss?)://|[\"'(]//", text)
    assert not re.search(r"\s(style|on\w+)=|<style|<script(?! type=\"module\" src=)", text)
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|\beval\b|url\(", text)
    assert len(text.splitlines()) <= 400


def test_what_a_file_imports_is_there():
    names = {path.name for path in FILES}
    for path in FILES:
        assert set(re.findall(r'from "\./([\w.]+)"', path.read_text())) <= names
    loaded = re.findall(r'(?:src|href)="([\w/.]+)"', (FOLDER / "index.html").read_text())
    assert loaded and {name.removeprefix("playground/") for name in loaded} <= names


def test_every_part_that_a_panel_uses_is_on_the_page():
    names = set(re.findall(r'data-part="(\w+)"', (FOLDER / "index.html").read_text()))
    for path in FOLDER.glob("*.js"):
        used = set(re.findall(r"\b(?:part|sections)\.(\w+)", path.read_text()))
        assert used <= names, path.name


@pytest.mark.parametrize(
    "path", ["/playground/", "/playground/index.html", "/playground/..%2f__init__.py", "/style.css"]
)
def test_nothing_else_is_served(served, path):
    code, _, text = get(served, path)
    assert code == 404 and json.loads(text)["error"].startswith("Malformed request: GET /")
    assert served.ask("POST", "/", "")[0] == 405


def test_the_page_is_told_of_all_models(served):
    code, reply = served.ask("GET", "/playground/models")
    assert reply["models"][1].pop("error")
    assert (code, reply) == (
        200,
        {
            "models": [
                {"name": "half", "version": 1, "about": {"flow": "half"}, "error": ""},
                {"name": "damaged", "version": None, "about": None},
            ],
            "max_rows": 7,
        },
    )


def test_what_the_page_is_told_of_a_flow(tmp_path):
    dist = nvp.flows.build("uva_multiscale", (8, 8, 1), levels=17, widths=(4, 4, 4), blocks=1)
    reference = checked_reference([3.25, np.float32(2.5), 3])
    assert read_about(tmp_path) is None
    write_about(tmp_path, dist, reference=reference, facts={"data": "digits"})
    about = read_about(tmp_path)
    assert about.pop("parameters") == sum(np.prod(v.shape) for v in dist.trainable_variables)
    assert about == {
        "flow": dist.name.rstrip("/"),
        "levels": 17,
        "num_classes": None,
        "latent_shapes": [[4, 4, 2], [2, 2, 8]],
        "reference": [2.5, 3.0, 3.25],
        "facts": {"data": "digits"},
    }
    (tmp_path / FILE).write_text("[]")
    with pytest.raises(ValueError, match=r"about\.json holds no JSON object"):
        read_about(tmp_path)


def test_an_export_has_it(tmp_path):
    dist = nvp.flows.build("realnvp", (2,), couplings=1, widths=(4,))
    about = read_about(nvp.export(dist, tmp_path / "a", reference=[1.5]))
    assert about["latent_shapes"] == [[2]] and about["reference"] == [1.5]


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [
        ([[1.0]], r"to be numbers \[N\], got an array of shape \(1, 1\) and dtype float64"),
        (["a"], "to be numbers"),
        ([1.0, np.nan], "to be finite, got 1 NaN or infinite values"),
    ],
)
def test_a_reference_is_finite_numbers(tmp_path, reference, sentence):
    dist = nvp.flows.build("realnvp", (2,), couplings=1, widths=(4,))
    with pytest.raises(ValueError, match=f"export needs reference {sentence}"):
        nvp.export(dist, tmp_path, reference=reference)


@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [
        ("uva_simple", (8, 8, 1), {"width": 4, "blocks": 1}),
        ("glow", (8, 8, 3), {"width": 4}),
        ("tarflow", (8, 8, 1), {}),
        ("nsf", (3,), {}),
    ],
)
def test_shapes_of_latents_are_of_their_sizes(name, shape, options):
    dist = nvp.flows.build(name, shape, **options)
    assert [int(np.prod(s)) for s in latent_shapes(dist)] == dist.latent_sizes
