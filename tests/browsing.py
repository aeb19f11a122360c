"""Headless Chromium for tests and measurements of pages: no network, and whatever stands in the console fails.

`browser` and `opened` are fixtures, which conftest.py hands to the tests.
"""

import json
import shutil
from pathlib import Path

import pytest

RIGHT, LEFT, HOME, END, TAB, ENTER = "\ue014", "\ue012", "\ue011", "\ue010", "\ue004", "\ue007"  # keys
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")


def why_not():
    """Return why there is no browser to test with, or an empty text."""
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "selenium is not installed"
    return "" if CHROMIUM and DRIVER else "chromium and chromedriver are not installed"


class Browser:
    """A browser without a network, with what the tests ask of a page."""

    def __init__(self):
        from selenium import webdriver

        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for argument in (
            "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu",
            "--host-resolver-rules=MAP * ~NOTFOUND", "--disable-background-networking", "--no-first-run",
        ):  # fmt: skip
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
        self.call("Network.enable")
        self.call("Network.setBlockedURLs", urls=["http://*", "https://*", "ws://*", "wss://*", "ftp://*"])
        self.size(1024)

    def call(self, command, **arguments):
        return self.driver.execute_cdp_cmd(command, arguments)

    def size(self, width, height=900):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def colours(self, scheme):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, path):
        """Open a file's page, with nothing of the one before."""
        self.driver.get_log("performance")
        self.driver.get(Path(path).as_uri())
        self.quiet()

    def run(self, code, *arguments):
        """Run JavaScript and return what it returns."""
        return self.driver.execute_script(code, *arguments)

    def keys(self, *keys):
        """Press keys where the focus is."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def find(self, selector):
        return self.driver.find_element("css selector", selector)

    def text(self, selector):
        return self.find(selector).text

    def values(self, selector):
        """Return the numbers that elements stand for, unrounded."""
        code = "return [...document.querySelectorAll(arguments[0])].map((node) => Number(node.dataset.value))"
        return self.run(code, selector)

    def wait(self, condition, seconds=20):
        """Wait until JavaScript gives something true, and return it."""
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.driver, seconds, 0.02).until(lambda _: self.run(f"return {condition}"))

    def quiet(self):
        """Raise if the console holds anything."""
        said = self.driver.get_log("browser")
        assert not said, said

    def requests(self):
        """Return the addresses that were asked for since the page was opened."""
        messages = (json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance"))
        return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]

    def close(self):
        self.driver.quit()


@pytest.fixture(scope="module")
def shared():
    why = why_not()
    if why:
        pytest.skip(why)
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture
def browser(shared):
    """Return the browser; what a test leaves in the console, or asks of the network, fails it."""
    shared.size(1024)
    shared.colours("light")
    yield shared
    shared.quiet()
    assert {url for url in shared.requests() if not url.startswith(("data:", "chrome"))} <= {shared.driver.current_url}


@pytest.fixture
def opened(browser, tmp_path):
    """Return what opens the page of a model, an input and a target; without them that of the lesson's cell."""
    import nbrnn
    from nbrnn.saving import read_model

    def open_page(model=None, x=None, y=None, **arguments):
        path = tmp_path / "page.html"
        if model is None:
            model, x, y = read_model(Path(nbrnn.__file__).parent / "tracing" / "mlm.json"), [1, 2, 3], 4
        nbrnn.explore(model, x, y, path=path, **arguments)
        browser.open(path)
        return browser

    return open_page


def sandbox(browser):
    browser.find("#sandbox-mode").click()
    return browser


def shown(browser, quantity):
    """Return the numbers of a row of the cell."""
    return browser.values(f'#cell [data-q="{quantity}"]')


def bars(browser, name):
    """Return a weight's gradient, as far as its bars have grown."""
    return browser.values(f'[data-bar^="{name}:"]')
