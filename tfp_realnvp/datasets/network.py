"""Finding out in seconds whether a download has a chance, before it is tried in earnest."""

import threading
import urllib.error
import urllib.request

TIMEOUT_SECONDS = 3.0


def is_reachable(url: str, *, timeout: float = TIMEOUT_SECONDS) -> bool:
    """Whether an address answers, and not with an error; no data are fetched.

    Proxies in the environment are used, as the download will use them. The probe runs in a
    thread that is left behind when the seconds are up, since looking up a host's name knows no
    time limit.
    """
    answers: list[bool] = []

    def probe() -> None:
        try:
            with urllib.request.urlopen(url, timeout=timeout):
                answers.append(True)
        except (OSError, ValueError):
            pass

    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(timeout)
    return bool(answers)
