"""Finding out in seconds whether a download has a chance, before it is tried in earnest."""

import threading
import urllib.error
import urllib.request

TIMEOUT_SECONDS = 3.0


def is_reachable(url: str, *, timeout: float = TIMEOUT_SECONDS) -> bool:
    """Whether an address answers at all; no data are fetched.

    Proxies in the environment are used, as the download will use them. The probe runs in a
    thread that is left behind when time is up, since looking up a host's name knows no
    time limit.

    Args:
        url: The address.
        timeout: Seconds to wait.

    Returns:
        True if it answered, and not with an error.
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
