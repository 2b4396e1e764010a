"""conda and PyPI packages in one environment: conda first, and a PyPI conflict with its choice is fed back."""
