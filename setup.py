"""Map the top-level folder ``operators/`` onto the subpackage ``flowsolve.operators``.

Everything else about the project stands in ``pyproject.toml``. The mapping lives here so
that no global module called ``operators`` is ever installed.
"""

from setuptools import find_packages, setup

setup(
    package_dir={"flowsolve.operators": "operators"},
    packages=[
        *find_packages(include=["flowsolve", "flowsolve.*"]),
        "flowsolve.operators",
        *(f"flowsolve.operators.{name}" for name in find_packages("operators")),
    ],
)
