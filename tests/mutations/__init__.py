"""A mutation sampler: it changes one operator, condition or constant at a time and checks that a test notices.

Run it by hand; it is not part of CI::

    pip install -e '.[dev,mutations]'
    python -m tests.mutations --sample 200 --seed 7
    python -m tests.mutations --sample 40 --seed 7 --module compiler/envc/locking/plan/link.py

`modules` maps each module to the test files beside it. `operators` lists what can be changed in a source file; it is
built on LibCST. `run` tries mutants in a temporary copy of the repository, so the working tree is never touched.
`equivalent.toml` lists the mutants that cannot be noticed because they change no behaviour, each with the reason; they
are drawn but not counted.

Before you write a test for a survivor, check whether the mutated code is needed at all. Judge the result with a seed
that you have not used before: a sample whose survivors have been fixed says nothing about the rest.
"""
