"""The folder of compiled kernels: never stale, never somebody else's, and never a reason to fail."""

import os
import shutil
import tempfile
import time
import warnings
from pathlib import Path

import pytest

import nbrnn
from nbrnn.targets import cache, compiling

PACKAGE = Path(nbrnn.__file__).parent


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """Forget what this process has found out, before and after."""
    cache.folder.cache_clear()
    yield
    cache.folder.cache_clear()


def places(monkeypatch, *, chosen, home, temporary):
    monkeypatch.setenv("NBRNN_CACHE_DIR", str(chosen))
    for name in ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))


# ---------------------------------------------------------------- the folder's name

KEY = "import sys; sys.path.insert(0, sys.argv[1]); from nbrnn.targets import cache; print(cache.__file__, cache.key())"


def key_of(run_python, root, **variables):
    file, key = run_python(KEY, root, **variables).split()
    assert Path(file).is_relative_to(root)
    return key


def test_the_name_follows_every_source_that_machine_code_depends_on(run_python, tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "nbrnn", ignore=shutil.ignore_patterns("__pycache__", "datasets"))
    original = key_of(run_python, tmp_path)
    assert key_of(run_python, PACKAGE.parent) == cache.key() != original  # by place too, as Numba tells files apart
    names = ["kernels/gemm.py", "kernels/abi.py", "kernels/random.py", "targets/compiling.py"]
    for name in names:
        file = tmp_path / "nbrnn" / name
        text, times = file.read_text(), file.stat()
        file.write_text(text + "# ")
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # not told by the time stamp
        assert key_of(run_python, tmp_path) != original, name
        file.write_text(text)
    (tmp_path / "nbrnn" / "kernels" / "new.py").write_text('"""A new cell."""\n')
    assert key_of(run_python, tmp_path) != original
    (tmp_path / "nbrnn" / "kernels" / "new.py").unlink()
    (tmp_path / "nbrnn" / "model.py").write_text("# compiles nothing\n")
    assert key_of(run_python, tmp_path) == original


@pytest.mark.parametrize(
    "variables", [{"NUMBA_CPU_NAME": "generic"}, {"NUMBA_OPT": 1}, {"NBRNN_VECTOR_BYTES": 16}], ids=str
)
def test_the_name_follows_what_is_forced_on_the_compiler(run_python, variables):
    assert key_of(run_python, PACKAGE.parent, **variables) != cache.key()


# ---------------------------------------------------------------- where it stands


def test_the_users_choice_comes_first(monkeypatch, tmp_path):
    places(monkeypatch, chosen=tmp_path / "a" / "b", home=tmp_path / "home", temporary=tmp_path)
    assert cache.folder() == tmp_path / "a" / "b" / f"kernels-{cache.key()}"
    assert not any(cache.folder().iterdir()) and not (tmp_path / "home").exists()
    assert cache.folder().stat().st_mode & 0o077 == 0  # code is loaded from it: nobody else may write


def test_a_place_that_cannot_be_written_falls_through_to_the_next(monkeypatch, tmp_path):
    blocked = tmp_path / "a file"
    blocked.write_text("no folder can be made below a file, whoever asks")
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    temporary.mkdir()
    places(monkeypatch, chosen=blocked / "x", home=home, temporary=temporary)
    assert cache.folder().is_relative_to(home)
    cache.folder.cache_clear()
    places(monkeypatch, chosen=blocked / "x", home=blocked, temporary=temporary)
    assert cache.folder().is_relative_to(temporary)
    cache.folder.cache_clear()
    places(monkeypatch, chosen=blocked / "x", home=blocked, temporary=blocked)
    with pytest.warns(RuntimeWarning, match="no cache folder can be written.*NBRNN_CACHE_DIR"):
        assert cache.folder() is None


NOWHERE = """
import sys, tempfile, warnings
tempfile.tempdir = sys.argv[1]
import numpy as np, nbrnn
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    model = nbrnn.Sequential([nbrnn.Dense(1)], input_shape=(2,), seed=0)
    model.set_weights([[[2.0], [3.0]], [1.0]])
    print(model.predict([[10.0, 1.0]])[0, 0])
print([str(w.message) for w in caught if w.category is RuntimeWarning])
"""


@pytest.mark.skipif(not compiling.JIT, reason="nothing is compiled")
def test_kernels_work_where_nothing_can_be_written(run_python, tmp_path):
    blocked = tmp_path / "a file"
    blocked.touch()
    nowhere = dict.fromkeys(("NBRNN_CACHE_DIR", "HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"), blocked)
    out = run_python(NOWHERE, blocked, **nowhere)
    assert out.startswith("24.0\n") and out.count("no cache folder can be written") == 1


def test_a_folder_of_another_user_is_not_used(monkeypatch, tmp_path):
    if not hasattr(os, "getuid"):
        pytest.skip("users have no numbers here")
    places(monkeypatch, chosen=tmp_path / "chosen", home=tmp_path / "home", temporary=tmp_path)
    foreign = cache.folder()
    (foreign / "planted.nbi").touch()
    cache.folder.cache_clear()
    if os.getuid() == 0:
        os.chown(foreign, 12345, -1)
        assert cache.folder().is_relative_to(tmp_path / "home")
    else:
        monkeypatch.setattr(os, "getuid", lambda: 12345)
        with pytest.warns(RuntimeWarning):
            assert cache.folder() is None
    assert os.listdir(foreign) == ["planted.nbi"]


def test_old_folders_are_pruned_and_young_ones_and_others_stay(monkeypatch, tmp_path):
    places(monkeypatch, chosen=tmp_path, home=tmp_path / "home", temporary=tmp_path)
    ages = {"kernels-aaaa": 31, "kernels-bbbb": 29, "my-own-things": 400, f"kernels-{cache.key()}": 300}
    for name, days in ages.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "code.nbc").write_text("x")
        os.utime(tmp_path / name, (time.time() - days * 86400,) * 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        current = cache.folder()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(set(ages) - {"kernels-aaaa"})
    assert time.time() - current.stat().st_mtime < 3600  # it has been used today
    assert (current / "code.nbc").exists()


def test_numbas_own_setting_is_restored(monkeypatch, tmp_path):
    places(monkeypatch, chosen=tmp_path, home=tmp_path, temporary=tmp_path)
    before = cache.config.CACHE_DIR
    with pytest.raises(KeyError), cache.location() as use:
        assert use and str(cache.folder()) == cache.config.CACHE_DIR != before
        raise KeyError
    assert before == cache.config.CACHE_DIR
