"""The public edge: authenticates, seals, appends, answers. It can neither decrypt nor open."""
