"""Headless Chromium for the tests: what it asked for, what it complained of, and pictures of it."""

import base64
import contextlib
import json
import shutil
import time

import pytest

WIDE, NARROW = (1280, 900), (390, 844)


@contextlib.contextmanager
def chromium():
    """Yields a browser; skips where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (browser and driver):
        pytest.skip("chromium and chromium-driver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"):
        options.add_argument(argument)
    options.add_argument("--disable-background-networking")
    options.add_argument("--disable-component-update")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    found = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield Browser(found)
    finally:
        found.quit()


class Browser:
    """A page and what is done with it; parts are named as in the page's `data-part`."""

    def __init__(self, driver):
        self.driver = driver
        self.latencies = []
        self.messages = []

    def open(self, url, size=WIDE, scheme="light"):
        """Opens a page anew, once it has all its answers."""
        self.resize(size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.driver.get("about:blank")  # another fragment alone would not load the page
        self.driver.get(url)
        self.until("document.querySelector('main section') !== null")
        self.settle()

    def resize(self, size):
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1}
        metrics["mobile"] = size == NARROW
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def until(self, script, seconds=120):
        end = time.monotonic() + seconds
        while not self.run(f"return {script}"):
            assert time.monotonic() < end, f"not within {seconds} s: {script}; {self.status()}"
            time.sleep(0.02)

    def settle(self):
        """Waits until nothing is asked any more."""
        quiet = 0
        while quiet < 3:
            pending = self.run("return document.documentElement.dataset.pending")
            quiet = quiet + 1 if pending == "0" else 0
            time.sleep(0.02)
        latency = self.run("return document.documentElement.dataset.latency")
        self.latencies.append(int(latency or 0))

    def run(self, script, *args):
        return self.driver.execute_script(script, *args)

    def status(self):
        return self.run("return document.querySelector('#status').textContent")

    def find(self, name, within="main"):
        return self.driver.find_element("css selector", f"{within} {selector(name)}")

    def all(self, css):
        return self.driver.find_elements("css selector", css)

    def text(self, name, within="main"):
        return self.find(name, within).text

    def label(self, name, within="main"):
        return self.find(name, within).get_attribute("aria-label")

    def put(self, element, value):
        """Sets an input as a hand would, with its events."""
        self.run(
            """
            const [element, value] = arguments;
            element.value = value;
            element.dispatchEvent(new Event("input", {bubbles: true}));
            element.dispatchEvent(new Event("change", {bubbles: true}));
            """,
            element,
            value,
        )
        self.settle()

    def click(self, element):
        self.run("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()
        self.settle()

    def pixels(self, element):
        """Returns a canvas as a URL of its picture, to compare."""
        return self.run("return arguments[0].toDataURL()", element)

    def drag(self, element, *steps, at=(0, 0)):
        """Presses at a place from the middle of an element, and moves by steps."""
        chains = pytest.importorskip("selenium.webdriver.common.action_chains")
        self.run("arguments[0].scrollIntoView({block: 'center'})", element)
        chain = chains.ActionChains(self.driver, duration=20)
        chain.move_to_element_with_offset(element, *at).click_and_hold()
        for step in steps:
            chain.move_by_offset(*step)
        chain.release().perform()
        self.settle()

    def keys(self, element, *keys):
        self.run("arguments[0].focus()", element)
        for key in keys:
            element.send_keys(key)
        self.settle()

    def requests(self):
        """Returns the addresses that were asked since the last call."""
        found = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.append(message["params"]["request"]["url"])
        return found

    def complaints(self):
        """Returns what stands on the console since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def picture(self, path):
        """Writes a picture of the whole page."""
        height = self.run("return document.documentElement.scrollHeight")
        width = self.run("return innerWidth")
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        parameters = {"captureBeyondViewport": True, "clip": clip}
        data = self.driver.execute_cdp_cmd("Page.captureScreenshot", parameters)["data"]
        path.write_bytes(base64.b64decode(data))

    def overflow(self):
        """Returns by how much the page is wider than the window."""
        return self.run("return document.documentElement.scrollWidth - innerWidth")

    def nameless(self):
        """Returns what can be used or looked at and has no name for a screen reader."""
        return self.run(
            """
            return [...document.querySelectorAll("button, input, select, canvas, svg")]
              .filter((e) => e.checkVisibility({visibilityProperty: true}))
              .filter((e) => e.tagName !== "CANVAS" || !e.closest("button"))
              .filter((e) => !(e.getAttribute("aria-label") || e.labels?.length || e.innerText))
              .map((e) => e.outerHTML)
            """
        )


def selector(name):
    return f"[data-part={name}]"
