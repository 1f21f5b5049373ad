"""The playground in headless Chromium: every control is used, by mouse and by keys."""

import base64
import os
import re
import struct
import urllib.parse
import zlib

import numpy as np
import pytest
from browser import NARROW, WIDE, chromium
from constructors import perturb_weights
from rest_server import running, until

import tfp_realnvp as nvp

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")

from tfp_realnvp.serving.rest.application import application
from tfp_realnvp.serving.rest.model_config import models_of

pytestmark = pytest.mark.slow
RIGHT, DOWN, SPACE = "\ue014", "\ue015", " "


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    colours = {"couplings": 1, "blocks": 1, "num_classes": 3}
    flows = {
        "digits": nvp.flows.build("glow", (8, 8, 1), levels=17, width=4, steps=1, scales=2),
        "classes": nvp.flows.build("uva_simple", (8, 8, 3), levels=17, width=4, **colours),
        "plane": nvp.flows.build("realnvp", (2,), couplings=2, widths=(8,)),
        "space": nvp.flows.build("realnvp", (3,), couplings=1, widths=(4,)),
    }
    for name, dist in flows.items():
        perturb_weights(dist.bijector)
        reference = {"digits": np.linspace(3, 9, 200), "plane": np.linspace(1, 5, 100)}.get(name)
        nvp.export(dist, folder / name, version=1, reference=reference)
    app = application(models_of([folder / name for name in flows]))
    with running(app, ready=False) as server:
        until(lambda: server.ask("GET", "/v2/health/ready")[0] == 200, seconds=600)
        yield server


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(autouse=True)
def _nothing_leaves_and_nothing_fails(browser):
    browser.requests(), browser.complaints()
    yield
    addresses = [urllib.parse.urlsplit(url) for url in browser.requests()]
    assert {a.hostname for a in addresses if a.scheme in ("http", "https")} == {"127.0.0.1"}
    assert {a.scheme for a in addresses} <= {"http", "about"}
    assert browser.complaints() == []


def link(browser):
    return dict(urllib.parse.parse_qsl(browser.driver.current_url.partition("#")[2]))


def test_samples(browser, served):
    browser.open(f"{served.url}/#model=digits")
    samples = "[data-part=samples]"
    canvas = browser.all(f"{samples} .pictures canvas")[3]
    first = browser.pixels(canvas)
    assert len(browser.all(f"{samples} .pictures button[aria-label]")) == 16
    temperatures = browser.all(f"{samples} input[type=range]")
    assert len(temperatures) == 2  # one for each scale
    browser.put(temperatures[0], 0.5)
    cooler = browser.pixels(canvas)
    browser.put(temperatures[1], 0)
    assert len({first, cooler, browser.pixels(canvas)}) == 3
    browser.put(browser.find("seed", samples), 7)
    browser.put(temperatures[0], 1)
    assert link(browser) == {"model": "digits", "seed": "7", "t": "1,0"}
    shared, url = browser.pixels(canvas), browser.driver.current_url
    browser.click(browser.find("next", samples))
    assert browser.pixels(canvas) != shared and link(browser)["seed"] != "7"
    browser.open(url)  # what a link shares is what was seen
    assert browser.pixels(browser.all(f"{samples} .pictures canvas")[3]) == shared
    browser.click(browser.all("#copy")[0])
    assert re.match("The link is (copied|in the address bar)", browser.status())


def test_one_image(browser, served):
    browser.open(f"{served.url}/#model=digits")
    one = "[data-part=one]"
    pad, bits = browser.find("pad", one), browser.find("bits", one)
    browser.click(browser.all("[data-part=samples] .pictures button")[5])
    sample = browser.all("[data-part=samples] .pictures canvas")[5]
    assert browser.pixels(pad) == browser.pixels(sample)
    assert "none of 64 values differ" in browser.text("differs", one)
    browser.click(browser.find("clear", one))
    empty, figure = browser.pixels(pad), bits.text
    browser.drag(pad, (40, 0), (0, 60), at=(-30, -30))
    drawn = browser.pixels(pad)
    assert drawn != empty and bits.text != figure and float(bits.text) > 0
    assert browser.pixels(browser.find("reconstruction", one)) == drawn
    assert re.search(r"more bits than \d+% of the test set's 200", browser.text("rank", one))
    mark = browser.all(f"{one} .mark")[0].get_attribute("d")
    browser.click(browser.find("invert", one))
    assert browser.pixels(pad) != drawn
    assert browser.all(f"{one} .mark")[0].get_attribute("d") != mark
    browser.click(browser.find("invert", one))
    assert browser.pixels(pad) == drawn
    browser.put(browser.find("pen", one), 4)
    browser.click(browser.find("erase", one))
    browser.drag(pad, (60, 0), at=(-30, -30))
    assert browser.pixels(pad) != drawn
    browser.click(browser.find("erase", one))
    browser.click(browser.find("clear", one))
    browser.keys(pad, RIGHT, DOWN, SPACE)
    assert "pen at column 6, row 6" in browser.label("pad", one)
    assert browser.pixels(pad) != empty


def test_a_file_and_a_drop(browser, served, tmp_path):
    browser.open(f"{served.url}/#model=digits")
    one = "[data-part=one]"
    (tmp_path / "ramp.png").write_bytes(png(np.arange(256).reshape(16, 16)))
    before = browser.pixels(browser.find("pad", one))
    browser.find("file", one).send_keys(str(tmp_path / "ramp.png"))
    browser.until(f"document.querySelector('{one} canvas').toDataURL() !== '{before}'")
    browser.settle()
    opened = browser.pixels(browser.find("pad", one))
    browser.click(browser.find("clear", one))
    browser.run(
        """
        const [section, text] = arguments;
        const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([bytes], "ramp.png", {type: "image/png"}));
        const options = {dataTransfer, bubbles: true, cancelable: true};
        section.dispatchEvent(new DragEvent("drop", options));
        """,
        browser.all(one)[0],
        base64.b64encode((tmp_path / "ramp.png").read_bytes()).decode(),
    )
    browser.until(f"document.querySelector('{one} canvas').toDataURL() === '{opened}'")
    (tmp_path / "no.png").write_text("no picture")
    browser.find("file", one).send_keys(str(tmp_path / "no.png"))
    browser.until("document.querySelector('#status').textContent.startsWith('no.png is no')")


def test_latents(browser, served):
    browser.open(f"{served.url}/#model=digits&redraw=3")
    panel = "[data-part=latents]"
    fine, coarse = browser.all(f"{panel} .scales figure")
    assert re.search("4.4.2, mean square", fine.text)
    assert re.search("2.2.8, mean square", coarse.text)
    canvas = browser.all(f"{panel} .pictures canvas")[2]
    redrawn = browser.pixels(canvas)
    boxes = browser.all(f"{panel} input[type=checkbox]")
    browser.click(boxes[1])
    both = browser.pixels(canvas)
    browser.click(boxes[0])
    assert len({redrawn, both, browser.pixels(canvas)}) == 3
    browser.click(boxes[1])  # nothing is drawn anew
    assert browser.pixels(canvas) == browser.pixels(browser.find("pad"))
    browser.click(boxes[0])
    assert browser.pixels(canvas) == redrawn
    browser.put(browser.find("temperature", panel).find_element("css selector", "input"), 0)
    assert browser.pixels(canvas) != redrawn
    browser.click(browser.find("next", panel))
    assert link(browser)["redraw"] != "3"
    browser.click(browser.all(f"{panel} .pictures button")[2])
    assert browser.pixels(browser.find("pad")) == browser.pixels(browser.find("reconstruction"))


def test_a_walk(browser, served):
    browser.open(f"{served.url}/#model=digits")
    panel = "[data-part=walk]"
    samples = browser.all("[data-part=samples] .pictures canvas")
    strip = browser.all(f"{panel} .pictures canvas")
    here = browser.find("here", panel)

    def ends():
        return [browser.pixels(strip[0]), browser.pixels(strip[-1])]

    first, second = (browser.pixels(canvas) for canvas in samples[:2])
    assert ends() == [first, second]
    middle = browser.pixels(here)
    browser.put(browser.find("place", panel).find_element("css selector", "input"), 0)
    assert browser.pixels(here) == first != middle
    browser.click(browser.all(f"{panel} .pictures button")[-1])
    assert browser.pixels(here) == second
    browser.click(browser.find("swap", panel))
    assert ends() == [second, first]
    browser.click(browser.all("[data-part=samples] .pictures button")[4])
    third = browser.pixels(browser.find("pad"))
    browser.click(browser.find("from", panel))
    assert ends() == [third, first]
    browser.click(browser.find("to", panel))
    assert ends() == [third, third]


def test_classes_and_colours(browser, served):
    browser.open(f"{served.url}/#model=classes&class=2")
    one = "[data-part=one]"
    canvas = browser.all("[data-part=samples] .pictures canvas")[1]
    of_two = browser.pixels(canvas)
    (choice,) = browser.all("[data-part=samples] select")
    assert choice.get_attribute("value") == "2"
    browser.put(choice, "")
    assert browser.pixels(canvas) != of_two and "class" not in link(browser)
    assert browser.all("[data-part=samples] button[aria-label]")[1].get_attribute("aria-label") == (
        "Sample 2 of class 1: look at it"
    )
    browser.click(browser.all("[data-part=samples] button[aria-label]")[1])
    (given,) = browser.all(f"{one} select")
    assert given.get_attribute("value") == "1"
    bits = browser.text("bits", one)
    browser.put(given, "0")
    assert browser.text("bits", one) != bits
    assert "No likelihoods of a test set" in browser.text("rank", one)
    before = browser.pixels(browser.find("pad", one))
    browser.put(browser.find("colour", one).find_element("css selector", "input"), "#ff0000")
    browser.drag(browser.find("pad", one), (20, 20))
    assert browser.pixels(browser.find("pad", one)) != before


def test_the_plane(browser, served):
    browser.open(f"{served.url}/#model=plane&a=0.5,0.25&b=-0.5,0")
    data, latent = ("[data-part=data]", "[data-part=latent]")
    handle = browser.all(f"{data} .handle")[0]
    across = browser.all(f"{latent} .handle")[0]
    row = browser.all("tbody tr")[0]
    x, y = row.find_elements("css selector", "input")
    assert (x.get_attribute("value"), y.get_attribute("value")) == ("0.500", "0.250")
    assert re.search(r"nats more nats than \d+% of the test set's 100", row.text)
    place, said = across.get_attribute("aria-label"), row.text
    browser.drag(handle, (30, 10), (30, -40), (5, 5))
    assert across.get_attribute("aria-label") != place and row.text != said
    place = handle.get_attribute("aria-label")
    browser.keys(across, RIGHT, DOWN)
    assert handle.get_attribute("aria-label") != place
    browser.put(x, "0.1")
    assert link(browser)["a"].startswith("0.1,")
    canvas = browser.all(f"{data} canvas")[0]
    assert "400 samples and two points" in canvas.get_attribute("aria-label")
    count, temperature = browser.all("[data-part=sliders] input")
    scattered = browser.pixels(canvas)
    browser.put(temperature, 0.5)
    assert browser.pixels(canvas) != scattered
    browser.put(count, 0)
    assert "samples" not in canvas.get_attribute("aria-label")
    browser.click(browser.find("next"))
    browser.put(browser.find("seed"), 3)
    assert link(browser).items() >= {"seed": "3", "n": "0", "t": "0.5"}.items()


def test_models_are_chosen_and_others_refused_in_a_sentence(browser, served):
    browser.open(f"{served.url}/#model=plane")
    browser.put(browser.all("#model")[0], "space")
    assert browser.status() == "space is of shape [3]: the playground has images and the plane."
    browser.put(browser.all("#model")[0], "digits")
    assert re.search("8.8.1, 17 levels", browser.all("#about")[0].text) and browser.status() == ""
    assert link(browser)["model"] == "digits"
    browser.run("location.hash = '#model=plane'")
    browser.until("document.querySelector('.plane') !== null")


def test_a_drag_is_answered_at_once(browser, served):
    """Of a small flow, with the path to the server and back; see the page's own measure."""
    for name, css in (("digits", "[data-part=pad]"), ("plane", "[data-part=data] button")):
        browser.open(f"{served.url}/#model={name}")
        if os.getloadavg()[0] > 2 * (os.cpu_count() or 1):
            pytest.skip("the machine is busy with other work: nothing is timed")
        element = browser.all(css)[0]
        browser.drag(element, (1, 1))
        browser.latencies.clear()
        for _ in range(8):
            browser.drag(element, (3, 2))
        assert np.median(browser.latencies) < 200, browser.latencies


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["digits", "classes", "plane"])
def test_it_fits_the_window_and_all_has_a_name(browser, served, name, scheme, size, tmp_path):
    browser.open(f"{served.url}/#model={name}", size, scheme)
    assert browser.overflow() <= 0
    assert browser.nameless() == []
    browser.picture(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 10_000


def png(pixels):
    """Returns a grey picture."""
    height, width = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels.astype("uint8"))

    def chunk(kind, data):
        sum_ = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + sum_

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
