"""Problems handed to the solvers over indexes and channels."""
