"""Match specs: every notation, and every rejected text with its reason."""

from __future__ import annotations

import pytest

from envc_solvers.conda.language.matchspec import InvalidMatchSpec, parse_matchspec
from envc_solvers.conda.language.record import Record

SHA256 = "6074ab8153fa6e4915cc761840c31e318ce911a678861db9db527ec6452c2cdb"
MD5 = "d176f2730b627d227630c09dd182abe6"

NUMPY = Record(
    name="numpy",
    version="1.26.4",
    build="py312_openblas_1",
    build_number=1,
    sha256=SHA256,
    md5=MD5,
    license="BSD-3-Clause",
    channel="conda-forge",
    subdir="linux-64",
    file="numpy-1.26.4-py312_openblas_1.conda",
)


@pytest.mark.parametrize(
    "text",
    [
        "numpy",
        " numpy  >=1.20, < 2 ",
        "NumPy =1.26",
        "numpy 1.26.*|2.* *openblas*",
        "numpy=1.26.4=py312_*",
        "numpy==1.26.4=py312_openblas_1",
        "conda-forge::numpy",
        "conda-forge/linux-64::numpy >=1",
        "*/linux-64::numpy",
        "*::numpy",
        "numpy[build=^py31.*$]",
        "numpy[build_number='>=1']",
        "numpy[build_number=1]",
        "numpy[build_number='!=2']",
        f"numpy[sha256={SHA256}]",
        f"numpy[md5={MD5.upper()}]",
        "numpy[license=BSD-3-Clause]",
        "numpy[fn=numpy-1.26.4-py312_openblas_1.conda]",
        "numpy >=1 # why not",
        "numpy[version='>=1,<2', channel=conda-forge, subdir=linux-64]",
        "numpy[features='', optional=yes]",
        "numpy-1.26.4-py312_openblas_1.conda",
        "./somewhere/numpy-1.26.4-py312_openblas_1.conda",
    ],
)
def test_accepted(text: str) -> None:
    assert parse_matchspec(text).matches(NUMPY)


@pytest.mark.parametrize(
    "text",
    [
        "scipy",
        "numpy <1.26",
        "numpy 1.26.4 py311_*",
        "numpy=1.26=py312_openblas_1",
        "bioconda::numpy",
        "conda-forge/noarch::numpy",
        "numpy[build=^py31$]",
        "numpy[build_number='<1']",
        "numpy[build_number=0]",
        f"numpy[sha256={SHA256[::-1]}]",
        f"numpy[md5={MD5[::-1]}]",
        "numpy[license=MIT]",
        "numpy[fn=numpy-1.26.4-py312_openblas_1.tar.bz2]",
        "numpy-1.26.4-py312_openblas_1.tar.bz2",
    ],
)
def test_not_accepted(text: str) -> None:
    assert not parse_matchspec(text).matches(NUMPY)


def test_a_url_names_channel_subdir_file_and_digest() -> None:
    url = f"https://mirror.example/conda-forge/linux-64/{NUMPY.file}"
    spec = parse_matchspec(f"{url}#{MD5}")
    assert (spec.name, spec.channel, spec.subdir, spec.file) == (
        "numpy",
        "https://mirror.example/conda-forge",
        "linux-64",
        NUMPY.file,
    )
    assert (spec.md5, spec.url) == (MD5, url)
    assert parse_matchspec(f"{url}#sha256:{SHA256}").sha256 == SHA256
    assert parse_matchspec(f"numpy[url={url}]") == parse_matchspec(url)


def test_a_channel_may_be_a_url_with_its_subdir() -> None:
    spec = parse_matchspec("https://mirror.example/forge/win-64::numpy")
    assert (spec.channel, spec.subdir) == ("https://mirror.example/forge", "win-64")
    assert parse_matchspec("a::numpy[channel='b/osx-64']").channel == "b"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "names no package"),
        (">=1.2", "names no package"),
        ("nu?py", "is not the name of a package"),
        ("py*", "needs the name of one package"),
        ("*[md5=d176f2730b627d227630c09dd182abe6]", "needs the name of one package"),
        ("^py.*$ 1", "needs the name of one package"),
        ("mkl@", "features are not supported"),
        ("numpy[track_features=mkl]", "features are not supported"),
        ('win-only[when="__win"]', "conditional dependencies are not supported"),
        ("numpy >=1; if __win", "conditional dependencies are not supported"),
        ("numpy >=1 if __win", "conditional dependencies are not supported"),
        ("ray[extras=[default]]", "does not hold key=value pairs|optional"),
        ("ray[default,data] >=2", "does not hold key=value pairs"),
        ("numpy[colour=blue]", "no spec can match by 'colour'"),
        ("numpy[md5=xyz]", "not a digest of kind md5"),
        ("numpy[build_number=two]", "not a comparison of build numbers"),
        ("numpy 1 py_0 more", "'more' is left over"),
        ("numpy >=", "in its version"),
        ("numpy 1 ^(a+)+$", "too complicated"),
        ("x.tar.bz2", "name-version-build"),
        ("numpy " + "1" * 9000, "more than 8192 characters"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidMatchSpec, match=reason):
        parse_matchspec(text)
