"""conda and PyPI packages in one environment: conda is solved first; a PyPI conflict with its choice is fed back."""
