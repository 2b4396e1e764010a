"""direct: requirements that say where their project is, and source distributions, as what solver and bundle work with.

To the solver a direct reference is a project with one version; to the lock it is a wheel with a digest, and for a wheel
that was built, the build. Where things are stays in the manifest.
"""
