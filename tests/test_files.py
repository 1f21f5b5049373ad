"""Files are replaced whole or not at all, and nothing else is; no leftovers stay."""

import os
import stat
import subprocess
import sys

import pytest

from tfp_realnvp.core.files import folder_beside, replacing
from tfp_realnvp.core.locks import release, try_lock


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_replacing_is_all_or_nothing(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert names(path.parent) == []
    with replacing(path) as temporary:
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert names(path.parent) == ["file.txt"]
    with (
        pytest.raises(OSError, match=r"^\[Errno \d+\] Cannot write .*under_a_file.txt: Not a dir"),
        replacing(path / "under_a_file.txt"),
    ):
        pass


def test_what_is_no_regular_file_is_never_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to(os.devnull)
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "device"):
        mode = (tmp_path / name).stat().st_mode
        with (
            pytest.raises(OSError, match=f"Cannot write .*{name}: it is no regular file"),
            replacing(tmp_path / name),
        ):
            pass
        assert (tmp_path / name).stat().st_mode == mode
    with (
        pytest.raises(IsADirectoryError, match="folder: it is a dir"),
        replacing(tmp_path / "folder"),
    ):
        pass
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    assert names(tmp_path) == ["device", "folder", "pipe"]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path, there):
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "target.txt", tmp_path / "link.txt"
    link.symlink_to(target)
    if there:
        target.write_text("old")
    with replacing(link) as temporary:
        assert temporary.name == "link.txt"
        temporary.write_text("new")
    assert link.is_symlink() and target.read_text() == "new"
    assert names(target.parent) == ["target.txt"]


def test_a_link_to_itself_is_told(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with (
        pytest.raises(OSError, match=r"Cannot write .*loop: Too many levels"),
        replacing(tmp_path / "loop"),
    ):
        pass
    assert (tmp_path / "loop").is_symlink()


def test_permissions_are_kept(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o640)
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640 and path.read_text() == "new"


def test_an_error_without_a_reason_of_the_system_is_told(tmp_path):
    with (
        pytest.raises(OSError, match=r"Cannot write .*file: cannot encode\."),
        replacing(tmp_path / "file"),
    ):
        raise OSError("cannot encode")


def test_leftovers_of_killed_processes_are_swept_and_those_of_running_ones_stay(tmp_path):
    code = (
        "import os, pathlib, sys\n"
        "from tfp_realnvp.core.files import folder_beside\n"
        "with folder_beside(pathlib.Path(sys.argv[1])) as folder:\n"
        "    (folder / 'half').write_text('half')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "file")], check=False)
    (left,) = names(tmp_path)
    assert left.startswith(".writing-")
    (tmp_path / ".writing-of-somebody-else").mkdir()
    with folder_beside(tmp_path / "first") as first:
        assert names(tmp_path) == sorted([first.name, ".writing-of-somebody-else"])
        with replacing(tmp_path / "second") as temporary:
            temporary.write_text("whole")
        assert first.is_dir()
    assert names(tmp_path) == [".writing-of-somebody-else", "second"]


def test_where_there_are_no_locks_files_are_written_and_no_folder_is_swept(tmp_path, monkeypatch):
    left = tmp_path / ".writing-abcdefgh"
    left.mkdir()

    def no_locks(*args):
        raise OSError(38, os.strerror(38))

    monkeypatch.setattr("fcntl.flock", no_locks)
    with replacing(tmp_path / "file") as temporary:
        temporary.write_text("whole")
    assert names(tmp_path) == [".writing-abcdefgh", "file"]


def test_a_lock_has_one_holder(tmp_path):
    handle = try_lock(tmp_path)
    assert try_lock(tmp_path) is None
    release(tmp_path, handle)
    release(tmp_path, try_lock(tmp_path))
    assert names(tmp_path) == []
    assert try_lock(tmp_path / "missing") is None
